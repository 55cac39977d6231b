"""Checks that hold for every route, before a route sees the request and after it has answered."""
