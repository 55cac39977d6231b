"""CPU-heavy work of requests in threads, by tenant."""

import asyncio
import threading

import pytest

from mezzotint.actions.tenant_threads import MAX_AT_ONCE, TenantThreads
from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import Refusal, RefusalCode

pytestmark = pytest.mark.anyio
ADA, EVE = TenantId("ada"), TenantId("eve")
GIVE_UP_S = 60


async def test_a_tenant_has_one_thread_and_leaves_the_other_to_others() -> None:
    threads, begun, may_end = TenantThreads(num_threads=2), threading.Semaphore(0), threading.Event()

    def heavy() -> str:
        begun.release()
        assert may_end.wait(GIVE_UP_S)
        return "heavy"

    eves = [asyncio.create_task(threads.run(EVE, heavy)) for _ in range(3)]
    assert await asyncio.to_thread(begun.acquire, timeout=GIVE_UP_S)
    assert await asyncio.wait_for(threads.run(ADA, lambda: "light"), GIVE_UP_S) == "light"
    assert not begun.acquire(blocking=False), "a second call of one tenant ran beside its first"
    may_end.set()
    assert await asyncio.gather(*eves) == ["heavy"] * 3


async def test_a_tenant_with_too_many_calls_is_refused_until_some_have_ended() -> None:
    threads, may_end = TenantThreads(), threading.Event()
    eves = [asyncio.create_task(threads.run(EVE, may_end.wait, GIVE_UP_S)) for _ in range(MAX_AT_ONCE)]
    await asyncio.sleep(0)  # each task has begun
    refused = await threads.run(EVE, lambda: "one more")
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.TOO_MANY_AT_ONCE
    may_end.set()
    assert all(await asyncio.gather(*eves))
    assert await threads.run(EVE, lambda: "one more") == "one more"


async def test_an_error_of_a_call_reaches_its_caller_and_frees_the_tenants_turn() -> None:
    threads = TenantThreads()
    with pytest.raises(ZeroDivisionError):
        await threads.run(EVE, lambda: 1 // 0)
    assert await threads.run(EVE, lambda: "next") == "next"
