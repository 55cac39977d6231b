"""A worker that is drained in the middle of its runs: the next one draws what is left, and no step twice."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mezzotint.actions.finish import BackingServices
from mezzotint.config import Settings
from mezzotint.domain.event import Moved
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import Job, JobState
from mezzotint.main.served_models import build_catalog, find_models
from mezzotint.store import Database, EventBus, Jobs, Objects, Workers, WorkerState
from mezzotint.worker import Catalog, CheckpointInterval, DeviceThread, Drain, Worker, WorkerSettings
from tests.unit.worker.conftest import PassingFilter
from tests.unit.worker.test_poison import a_job

pytestmark = pytest.mark.anyio
STEPS, NUM_JOBS = 16, 2


def utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def working(name: str, backing: BackingServices, catalog: Catalog, workers: Workers) -> AsyncIterator[Worker]:
    """A worker with the starter model, which saves no checkpoint by itself."""
    settings = WorkerSettings(id=WorkerId(name), max_runs=4, lease_s=30, max_attempts=3, is_alone=False)
    drain = Drain(workers, settings.id, utc_now)
    worker = Worker(backing, PassingFilter(), settings, utc_now, CheckpointInterval(every=1000), drain)
    device = DeviceThread(catalog, worker.reporter(), worker.wants_preview, worker.interval, lambda: None)  # type: ignore[arg-type, return-value]
    async with worker.running(device, lambda error: None):
        yield worker


async def rows(backing: BackingServices, jobs: list[Job]) -> list[Job]:
    found = [await backing.jobs.get(job.id) for job in jobs]
    return [row for row in found if row is not None]


async def test_no_step_is_lost_on_a_drain_and_the_owner_hears_of_the_move(
    tmp_path: Path, database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_file)
    backing = BackingServices(jobs=Jobs(database), objects=Objects(tmp_path / "objects"), bus=EventBus())
    workers, steps, told = Workers(database), Counter[tuple[JobId, int]](), set[JobId]()
    halfway, ended, is_noticed = asyncio.Event(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def count(device: DeviceThread, loaded: Any, job: Job, run: Any) -> None:
        steps[job.id, run.steps] += 1
        if run.steps >= STEPS // 2:
            loop.call_soon_threadsafe(halfway.set)
            is_noticed.wait(60)  # or it would be done before the worker hears of the drain
        given(device, loaded, job, run)

    given = DeviceThread._report_step
    monkeypatch.setattr(DeviceThread, "_report_step", count)
    settings = Settings(device="cpu", threads=1)
    catalog = build_catalog(settings, find_models(settings))
    jobs = [a_job(64, num_steps=STEPS) for _ in range(NUM_JOBS)]
    async with asyncio.timeout(240):
        with backing.bus.watch(jobs[0].id) as events:
            async with working("first", backing, catalog, workers) as first:
                assert first.drain is not None
                first.drain.on_end = ended.set
                await backing.jobs.add(*jobs)
                backing.bus.ring()
                await halfway.wait()
                assert await workers.want_end(WorkerId("first"), utc_now(), "its pool wants fewer")
                while not first.drain.is_drained:
                    await asyncio.sleep(0.01)  # polling the worker's own task, which asks the store
                is_noticed.set()
                await ended.wait()
                (status,) = await workers.all(utc_now())
                assert (status.state, status.num_running) == (WorkerState.DRAINED, 0)
            while not events.empty():
                event = events.get_nowait()
                told |= {event.job} if isinstance(event, Moved) else set()
        put_aside = await rows(backing, jobs)
        assert {row.state for row in put_aside} == {JobState.QUEUED}
        assert all(0 < row.step < STEPS for row in put_aside)
        async with working("second", backing, catalog, workers):
            while {row.state for row in await rows(backing, jobs)} != {JobState.SUCCEEDED}:
                await asyncio.sleep(0.05)  # polling the rows that the worker writes
    assert {steps[job.id, step] for job in jobs for step in range(1, STEPS + 1)} == {1}, steps
    assert told == {jobs[0].id}
    await database.close()
