"""Connections that a test opens or accepts itself. Each is closed when its block ends, however the block ends.

`StreamWriter.close` alone is not enough: it waits for what is not yet sent, and the test's event loop ends before that.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(
    address: str, sent: bytes = b"", *, limit: int = 2**16, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Stream]:
    """A connection to such an address as 127.0.0.1:8400, on which these bytes were sent."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=limit, ssl=trust)
    try:
        writer.write(sent)
        yield reader, writer
    finally:
        await abort(writer)


@asynccontextmanager
async def listening(
    serve: Handler,
) -> AsyncIterator[int]:
    """The port of a server that gives each connection to `serve`."""
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:  # the client went
            pass
        finally:
            await abort(writer)
            handlers.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0)  # connections that it just accepted get their handlers
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


async def abort(writer: asyncio.StreamWriter) -> None:
    """Close at once, whatever waits to be sent, and wait until it is closed."""
    writer.transport.abort()
    with suppress(OSError):  # how the connection ended
        await writer.wait_closed()
