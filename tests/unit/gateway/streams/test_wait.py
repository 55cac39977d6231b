"""Waiting for a job's end outlasts a database that is away for a while."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from mezzotint.actions.cancel import cancel
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.event import Progressed
from mezzotint.domain.job import Job, JobState
from mezzotint.gateway import Service
from mezzotint.gateway.streams.wait import wait_until_final, watch_job
from tests.making import make_job
from tests.unit.gateway.conftest import database_away

pytestmark = pytest.mark.anyio


async def test_a_wait_goes_on_while_the_database_is_away(service: Service, tmp_path: Path) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    async with database_away(service, tmp_path):
        waiting = asyncio.create_task(wait_until_final(service.backing, job, 120))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):  # it goes on for all this time, without an answer
                await asyncio.shield(waiting)
    assert await service.backing.jobs.cancel(job.id, job.created_at)
    assert (await waiting).state is JobState.CANCELLED


async def test_a_wait_that_ends_without_the_database_says_so(service: Service, tmp_path: Path) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    async with database_away(service, tmp_path):
        with pytest.raises(StorageUnavailable):
            await wait_until_final(service.backing, job, 0.1)


async def test_a_watcher_gets_progress_between_rows_and_ends_with_the_final_row(service: Service) -> None:
    job = make_job()
    await service.backing.jobs.add(job)
    seen: list[object] = []
    async with aclosing(watch_job(service.backing, job)) as news:
        async for item in news:
            seen.append(item.state if isinstance(item, Job) else item.step)
            if seen == [JobState.QUEUED]:
                service.backing.bus.publish(job.id, Progressed(job=job.id, step=1, num_steps=9, preview=None))
            elif seen == [JobState.QUEUED, 1]:
                assert await cancel(service.backing, job.id, job.created_at)
    assert seen == [JobState.QUEUED, 1, JobState.CANCELLED]
