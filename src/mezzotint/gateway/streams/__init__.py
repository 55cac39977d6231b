"""Requests that stay open: event streams, sockets, long polls, and requests that wait for their pictures."""
