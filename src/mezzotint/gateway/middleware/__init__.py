"""ASGI middleware: runs for every request, before its route and on its response."""
