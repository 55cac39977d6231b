"""Clients that open connections and say nothing, or too slowly, with real sockets of a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from mezzotint.gateway import Service
from mezzotint.gateway.network.connections import ConnectionLimits
from tests.unit.gateway.serving import serving
from tests.unit.gateway.test_socket import bearer

pytestmark = pytest.mark.anyio
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = ConnectionLimits(client_timeout_s=0.4)


async def opened(address: str, sent: bytes = b"") -> Stream:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    return reader, writer


@asynccontextmanager
async def silent(address: str, count: int, sent: bytes = b"") -> AsyncIterator[list[Stream]]:
    streams = [await opened(address, sent) for _ in range(count)]
    try:
        yield streams
    finally:
        for _, writer in streams:
            writer.close()


async def rest(stream: Stream) -> bytes:
    """What comes until the server closes."""
    async with asyncio.timeout(30):
        try:
            return await stream[0].read()
        except ConnectionResetError:
            return b""
        finally:
            stream[1].close()


async def is_answered(address: str) -> bool:
    reader, writer = await opened(address, GET)
    async with asyncio.timeout(30):
        head = await reader.readline()
    writer.close()
    return head.startswith(b"HTTP/1.1 200 ")


async def is_open(stream: Stream) -> bool:
    """Whether the server still answers on it."""
    stream[1].write(GET)
    async with asyncio.timeout(30):
        try:
            return (await stream[0].readline()).startswith(b"HTTP/1.1 200 ")
        except ConnectionResetError:
            return False


def ended(service: Service, why: str) -> float:
    name = "mezzotint_connections_ended_total"
    return service.desk.metrics.registry.get_sample_value(name, {"why": why}) or 0.0


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"HTTP/1.1 408 "),
    ],
)
async def test_a_client_that_sends_no_whole_head_is_ended(service: Service, sent: bytes, answer: bytes) -> None:
    async with serving(service, QUICK) as address, silent(address, 30, sent) as streams:
        assert await is_answered(address)
        received = await asyncio.gather(*(rest(stream) for stream in streams))
        assert all(one.startswith(answer) and bool(one) == bool(answer) for one in received)
        assert await is_answered(address)
    assert ended(service, "no_request") == 30


async def test_a_head_in_drops_is_ended_too(service: Service) -> None:
    async with serving(service, QUICK) as address:
        stream = await opened(address, b"GET /healthz HTTP/1.1\r\nX-Slow: ")

        async def drip() -> None:
            while True:
                stream[1].write(b"x")
                await asyncio.sleep(0.05)  # the client's own pace

        dripping = asyncio.create_task(drip())
        assert (await rest(stream)).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()


async def test_a_second_request_in_drops_is_ended_as_the_first(service: Service) -> None:
    """One byte of it was enough to stop the server's clock for idle connections."""
    async with serving(service, QUICK) as address:
        stream = await opened(address, GET + b"G")
        received = await rest(stream)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in received


async def test_the_one_that_waited_longest_makes_room(service: Service) -> None:
    limits = ConnectionLimits(in_all=8, client_timeout_s=300)
    async with serving(service, limits) as address, silent(address, 40) as streams:
        for _ in range(5):
            assert await is_answered(address)
        assert not await is_open(streams[0])
        assert await is_open(streams[-1])
    assert ended(service, "made_room") >= 32


async def test_one_address_has_a_share_and_leaves_the_rest_to_others(service: Service) -> None:
    limits = ConnectionLimits(per_address=4, client_timeout_s=300, is_this_machine_free=False)
    async with serving(service, limits) as address, silent(address, 12) as streams:
        assert [await is_open(stream) for stream in streams] == [False] * 8 + [True] * 4


async def test_where_none_waits_the_next_is_refused_and_told_when_to_come_back(service: Service) -> None:
    limits = ConnectionLimits(in_all=2, client_timeout_s=300)
    async with serving(service, limits) as address:
        sockets = [await connect(f"ws://{address}/v1/ws", additional_headers=bearer(service)) for _ in range(2)]
        refused = await rest(await opened(address))
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in refused
        assert b'"code":"too_many_connections"' in refused
        for socket in sockets:
            await socket.close()
        async with asyncio.timeout(30):
            while not await is_answered(address):
                await asyncio.sleep(0.01)  # until the server saw the sockets close


async def test_this_machine_and_trusted_proxies_have_no_share_of_their_own(service: Service) -> None:
    limits = ConnectionLimits(per_address=1, client_timeout_s=300)
    async with serving(service, limits) as address, silent(address, 5) as streams:
        assert [await is_open(stream) for stream in streams] == [True] * 5


async def test_an_open_websocket_is_not_taken_for_a_silent_client(service: Service) -> None:
    async with (
        serving(service, QUICK) as address,
        connect(f"ws://{address}/v1/ws", additional_headers=bearer(service)) as socket,
        silent(address, 1) as streams,
    ):
        await rest(streams[0])
        pong = await socket.ping()
        async with asyncio.timeout(30):
            await pong
