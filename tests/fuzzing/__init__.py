"""Requests that no client should send, to every route, and how long the event loop is held by each."""
