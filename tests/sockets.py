"""A client of WebSockets for a busy machine."""

from functools import partial

from websockets.asyncio import client

connect_socket = partial(client.connect, open_timeout=60, close_timeout=60)
"""The library waits 10 s for a handshake, which a server that shares two cores with other tests may need."""
