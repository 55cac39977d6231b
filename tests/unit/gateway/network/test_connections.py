"""Clients that open connections and say nothing, or too slowly, with real sockets of a real server."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from mezzotint.gateway import Service
from mezzotint.gateway.network.connections import ConnectionLimits
from tests.raw_streams import Stream, connected
from tests.sockets import connect_socket
from tests.unit.gateway.serving import serving
from tests.unit.gateway.streams.test_websocket import bearer

pytestmark = pytest.mark.anyio
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = ConnectionLimits(client_timeout_s=0.4)


@asynccontextmanager
async def silent(address: str, count: int, sent: bytes = b"") -> AsyncIterator[list[Stream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(address, sent)) for _ in range(count)]


async def rest(stream: Stream) -> bytes:
    """What comes until the server closes."""
    async with asyncio.timeout(30):
        try:
            return await stream[0].read()
        except ConnectionResetError:
            return b""


async def is_answered(address: str) -> bool:
    async with connected(address, GET) as (reader, _), asyncio.timeout(30):
        head = await reader.readline()
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
    return service.backing.metrics.registry.get_sample_value(name, {"why": why}) or 0.0


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
    async with (
        serving(service, QUICK) as address,
        connected(address, b"GET /healthz HTTP/1.1\r\nX-Slow: ") as stream,
    ):

        async def drip() -> None:
            while True:
                stream[1].write(b"x")
                await asyncio.sleep(0.05)  # the client's own pace

        dripping = asyncio.create_task(drip())
        assert (await rest(stream)).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()
        await asyncio.wait([dripping])


async def test_a_second_request_in_drops_is_ended_as_the_first(service: Service) -> None:
    """One byte of it was enough to stop the server's clock for idle connections."""
    async with serving(service, QUICK) as address, connected(address, GET + b"G") as stream:
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
        async with AsyncExitStack() as open_sockets:
            for _ in range(2):
                open_socket = connect_socket(f"ws://{address}/v1/ws", additional_headers=bearer(service))
                await open_sockets.enter_async_context(open_socket)
            async with connected(address) as stream:
                refused = await rest(stream)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in refused
        assert b'"code":"too_many_connections"' in refused
        async with asyncio.timeout(30):
            while not await is_answered(address):
                await asyncio.sleep(0.01)  # until the server saw the sockets close


async def test_this_machine_and_trusted_proxies_have_no_share_of_their_own(service: Service) -> None:
    limits = ConnectionLimits(per_address=1, client_timeout_s=300)
    async with serving(service, limits) as address, silent(address, 5) as streams:
        assert [await is_open(stream) for stream in streams] == [True] * 5


@asynccontextmanager
async def deaf(address: str) -> AsyncIterator[socket.socket]:
    """A connected socket that takes few bytes before it is read."""
    host, _, port = address.rpartition(":")
    with socket.socket() as made:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(made, (host, int(port)))
        yield made


async def until_ended(service: Service, why: str) -> None:
    async with asyncio.timeout(60):
        while not ended(service, why):
            await asyncio.sleep(0.02)  # the server's own clock


async def ask_much(one: socket.socket) -> None:
    """For answers of more than the system keeps for a connection, which come one after the other."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(one, request * 100)


async def test_a_client_that_takes_no_answer_is_ended(service: Service) -> None:
    async with serving(service, QUICK) as address, deaf(address) as one:
        await ask_much(one)
        await until_ended(service, "not_read")


async def test_answers_that_nobody_takes_are_bounded_in_all(service: Service) -> None:
    limits = ConnectionLimits(client_timeout_s=300, unsent_bytes=2**16)
    async with serving(service, limits) as address, deaf(address) as one:
        await ask_much(one)
        await until_ended(service, "not_read")
        assert await is_answered(address)


async def test_pings_of_a_client_that_takes_no_pongs_do_not_pile_up(service: Service) -> None:
    head = (
        "GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    )
    head += f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: {bearer(service)['Authorization']}\r\n\r\n"
    pings = (b"\x89\xfd\0\0\0\0" + bytes(125)) * 500
    loop, sent, last = asyncio.get_running_loop(), [0], -1
    async with serving(service, ConnectionLimits(client_timeout_s=300)) as address, deaf(address) as one:
        await loop.sock_sendall(one, head.encode())
        assert (await loop.sock_recv(one, 4096)).startswith(b"HTTP/1.1 101 ")

        async def flood() -> None:
            while sent[0] < 64 * 2**20:
                await loop.sock_sendall(one, pings)
                sent[0] += len(pings)

        flooding = asyncio.create_task(flood())
        while sent[0] != last and not flooding.done():
            last = sent[0]
            await asyncio.sleep(1)  # until the server reads no more, or has read all
        has_read_all = flooding.done()
        flooding.cancel()
        await asyncio.wait([flooding])
        assert not has_read_all, "it read on, and kept a pong for each"
        assert await is_answered(address)


async def test_an_open_websocket_is_not_taken_for_a_silent_client(service: Service) -> None:
    async with (
        serving(service, QUICK) as address,
        connect_socket(f"ws://{address}/v1/ws", additional_headers=bearer(service)) as open_socket,
        silent(address, 1) as streams,
    ):
        await rest(streams[0])
        pong = await open_socket.ping()
        async with asyncio.timeout(30):
            await pong


async def test_an_idle_connection_is_kept_for_a_proxy_longer_than_a_head_may_take(service: Service) -> None:
    """A proxy that sends on a connection just as the server closes it answers its client 502."""
    limits = ConnectionLimits(client_timeout_s=0.2, keep_alive_s=300)
    async with serving(service, limits) as address, silent(address, 1) as (fresh,), connected(address, GET) as kept:
        async with asyncio.timeout(30):
            await kept[0].readuntil(b"\r\n\r\n")
            await kept[0].readuntil(b"}")
        assert await rest(fresh) == b"", "one that never asked is ended"
        kept[1].write(GET)
        async with asyncio.timeout(30):
            assert (await kept[0].readuntil(b"\r\n")).endswith(b" 200 OK\r\n")


@pytest.mark.parametrize(("sent", "answer"), [(b"", b""), (b"GET /healthz HTTP/1.1\r\nX-Slow: ", b"HTTP/1.1 408 ")])
async def test_a_kept_connection_ends_when_idle_too_long_and_gives_no_second_head_more_time(
    service: Service, sent: bytes, answer: bytes
) -> None:
    slow = (
        {"client_timeout_s": 300.0, "keep_alive_s": 0.4}
        if not sent
        else {"client_timeout_s": 0.4, "keep_alive_s": 300.0}
    )
    async with serving(service, ConnectionLimits(**slow)) as address, connected(address, GET + sent) as stream:  # type: ignore[arg-type]
        received = await rest(stream)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert answer in received
