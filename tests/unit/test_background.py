"""Background tasks live on, whatever one of their rounds raises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mezzotint import background
from mezzotint.background import MAX_WAIT_S, BackgroundTasks, back_off_s
from mezzotint.domain.errors import StorageUnavailable

pytestmark = pytest.mark.anyio
ROUNDS_S = 30
"""Longest wait for rounds on a busy machine."""


class Work:
    """Raises what it is told to, one a round, then succeeds. Holds how often it was done."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors, self.num_begun, self.num_done = list(errors), 0, 0
        self.changed = asyncio.Event()

    async def __call__(self) -> None:
        self.num_begun += 1
        self.changed.set()
        if self.errors:
            raise self.errors.pop(0)
        self.num_done += 1

    async def reach(self, num_begun: int) -> None:
        async with asyncio.timeout(ROUNDS_S):
            while self.num_begun < num_begun:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(background, "FAILING_S", 0.0)


@asynccontextmanager
async def running(work: Work, restarts: list[str], every_s: float = 0.0) -> AsyncIterator[BackgroundTasks]:
    tasks = BackgroundTasks(on_restart=restarts.append)
    async with tasks.running(tasks.run_forever("work", every_s, work)):
        yield tasks


async def test_a_task_goes_on_after_whatever_a_round_raises_and_each_failure_is_counted() -> None:
    work, restarts = (
        Work(ValueError("odd"), StorageUnavailable("away"), ExceptionGroup("two", [OSError()])),
        list[str](),
    )
    async with running(work, restarts) as tasks:
        await work.reach(5)
        assert tasks.failing == []
    assert restarts == ["work"] * 3
    assert work.num_done >= 1


async def test_a_cancellation_of_what_a_round_waited_for_does_not_end_the_task() -> None:
    work, restarts = Work(asyncio.CancelledError()), list[str]()
    async with running(work, restarts):
        await work.reach(3)
    assert restarts == ["work"]


async def test_a_task_ends_with_its_block_and_not_before() -> None:
    work = Work()
    async with running(work, []):
        await work.reach(2)
    after = work.num_begun
    await asyncio.sleep(0.01)  # a task that lived on would have used it
    assert work.num_begun == after


async def test_a_task_that_keeps_failing_is_named_until_a_round_succeeds() -> None:
    work, restarts = Work(*[ValueError()] * 3), list[str]()
    async with running(work, restarts) as tasks:
        await work.reach(2)
        assert tasks.failing == ["work"]
        await work.reach(5)
        assert tasks.failing == []


async def test_one_failure_does_not_yet_count_as_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FAILING_S", 60.0)
    work, restarts = Work(*[ValueError()] * 2), list[str]()
    async with running(work, restarts) as tasks:
        await work.reach(2)
        assert tasks.failing == []


async def test_the_next_round_comes_as_soon_as_it_is_woken() -> None:
    work, wake, tasks = Work(), asyncio.Event(), BackgroundTasks()
    async with tasks.running(tasks.run_forever("work", 3600, work, wake=wake)):
        await work.reach(1)
        wake.set()
        await work.reach(2)


def test_waits_double_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_WAIT_S", 0.5)
    assert [back_off_s(failures) for failures in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, MAX_WAIT_S, MAX_WAIT_S]
    assert back_off_s(10**6) == MAX_WAIT_S
