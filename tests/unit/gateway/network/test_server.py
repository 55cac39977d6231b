"""A stop first says that it is coming, where load balancers are to hear of it."""

import asyncio
import signal

import pytest
import uvicorn

from mezzotint.gateway.network.server import Server

pytestmark = pytest.mark.anyio


async def test_a_stop_waits_until_load_balancers_have_heard_of_it() -> None:
    told: list[int] = []
    server = Server(uvicorn.Config(lambda: None, log_config=None), lambda: told.append(1), drain_s=0.05)
    assert not server.is_stopping
    server.handle_exit(signal.SIGTERM, None)
    assert (server.is_stopping, server.should_exit, told) == (True, False, [])
    async with asyncio.timeout(30):
        while not server.should_exit:
            await asyncio.sleep(0.01)


async def test_a_stop_without_a_wait_is_at_once() -> None:
    told: list[int] = []
    server = Server(uvicorn.Config(lambda: None, log_config=None), lambda: told.append(1))
    server.handle_exit(signal.SIGTERM, None)
    assert (server.is_stopping, server.should_exit, told) == (True, True, [1])
