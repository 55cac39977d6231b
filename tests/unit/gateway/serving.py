"""The application behind a real HTTP server, for what a client in the same process cannot show: sockets and streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from uvicorn.server import ServerState

from mezzotint.gateway import Service
from mezzotint.gateway.network.connections import ConnectionLimits, OpenConnections
from mezzotint.gateway.network.forwarded import ForwardedClient
from mezzotint.gateway.network.server import configure
from tests.unit.gateway.applications import make_app


@asynccontextmanager
async def serving(service: Service, limits: ConnectionLimits | None = None) -> AsyncIterator[str]:
    """Its address, such as 127.0.0.1:8400, while it serves."""
    limits = limits or ConnectionLimits()
    open_connections = OpenConnections(limits=limits, metrics=service.backing.metrics)
    app = ForwardedClient(make_app(service), limits.proxies)
    config = configure(app, open_connections, port=0, lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the server ended"
        await asyncio.sleep(0.01)  # the server's start has no event to wait for
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
        await end_connections(server.server_state)
        await (
            server.lifespan.shutdown()
        )  # by force uvicorn leaves the background tasks, and what they hold, to the loop's end


async def end_connections(state: ServerState) -> None:
    """uvicorn leaves those open whose requests run, or whose clients take no answers, when it stops by force."""
    for connection in list(state.connections):
        connection.transport.abort()  # type: ignore[union-attr]  # set since the connection was made
    for request in list(state.tasks):
        request.cancel()
    await asyncio.gather(*state.tasks, return_exceptions=True)
    while state.connections:
        await asyncio.sleep(0)  # until the loop told each protocol of it
