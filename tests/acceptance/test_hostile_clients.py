"""Clients without an account, or with a free one, that try to bring a real server down. It answers throughout.

The limits are lowered, so that few connections and bytes show what many would do.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from mezzotint.domain.tier import Tier
from tests.acceptance.conftest import Server, served
from tests.raw_streams import Stream, connected

pytestmark = pytest.mark.anyio
CLIENT_TIMEOUT_S = 3
MAX_CONNECTIONS = 60
BODY = 24 * 2**20


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {
        "MEZZOTINT_CLIENT_TIMEOUT_S": str(CLIENT_TIMEOUT_S),
        "MEZZOTINT_MAX_CONNECTIONS": str(MAX_CONNECTIONS),
        "MEZZOTINT_BODY_MEMORY_MB": "96",
    }
    with served(tmp_path_factory.mktemp("guarded") / "data", **limits) as server:
        yield server


def opened(server: Server, sent: bytes = b"") -> AbstractAsyncContextManager[Stream]:
    return connected(server.url.removeprefix("http://"), sent)


async def status_of(stream: Stream) -> int:
    """Of the answer; 0 where the connection ended without one."""
    async with asyncio.timeout(90):
        try:
            received = await stream[0].read()
        except ConnectionResetError:
            received = b""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    return int(found[1]) if found else 0


class Watch:
    """Asks for health again and again, as a load balancer does. statuses: what it was told."""

    def __init__(self, server: Server) -> None:
        self.server, self.statuses, self.memory_mb = server, Counter[int](), resident_mb(server)

    async def __aenter__(self) -> "Watch":
        self._task = asyncio.create_task(self._ask())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _ask(self) -> None:
        request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        while True:
            async with opened(self.server, request) as stream:
                self.statuses[await status_of(stream)] += 1
            self.memory_mb = max(self.memory_mb, resident_mb(self.server))
            await asyncio.sleep(0.1)  # its own pace


def resident_mb(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "], ids=["silent", "byte", "half a head"]
)
async def test_connections_that_say_nothing_take_no_place_from_others(guarded: Server, sent: bytes) -> None:
    before = descriptors(guarded)
    async with Watch(guarded) as watch, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(opened(guarded, sent)) for _ in range(5 * MAX_CONNECTIONS)]
        assert descriptors(guarded) <= before + MAX_CONNECTIONS + 10
        ends = Counter(await asyncio.gather(*(status_of(stream) for stream in streams)))
    assert set(ends) <= {0, 408}, "each was ended"
    assert set(watch.statuses) == {200}
    assert watch.statuses.total() >= 3


async def test_bodies_whose_last_byte_never_comes_end_and_take_little_memory(guarded: Server) -> None:
    """Twenty of the largest, of one free tenant."""
    head = "POST /v1/images/edits HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    head += f"Authorization: Bearer {guarded.token('mallory', Tier.FREE)}\r\nContent-Length: {BODY}\r\n\r\n"
    before = resident_mb(guarded)

    async def send() -> int:
        async with opened(guarded, head.encode()) as stream:
            answer = asyncio.create_task(status_of(stream))
            try:
                for _ in range(BODY // 2**20):
                    stream[1].write(bytes(2**20 - 1))
                    await stream[1].drain()
            except ConnectionError:  # the server had enough
                pass
            return await answer

    async with Watch(guarded) as watch:
        ends = Counter(await asyncio.gather(*(send() for _ in range(20))))
    assert ends[429] >= 15, ends
    assert set(ends) <= {408, 429, 0}, ends
    assert watch.memory_mb - before < 5 * BODY // 2**20, "one body fits into the tenant's share, with a copy"
    assert set(watch.statuses) == {200}


async def test_the_server_raises_its_limit_of_open_files(guarded: Server) -> None:
    limits = Path(f"/proc/{guarded.process.pid}/limits").read_text()
    found = re.search(r"Max open files\s+(\d+)\s+(\d+)", limits)
    assert found is not None
    assert found[1] == found[2]
