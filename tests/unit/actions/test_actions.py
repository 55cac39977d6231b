"""Actions over a real store."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mezzotint.actions.cancel import cancel
from mezzotint.actions.checkpoint import discard, newest, save
from mezzotint.actions.claim import claim
from mezzotint.actions.finish import BackingServices, finish
from mezzotint.actions.maintain import delete_unreferenced_checkpoints
from mezzotint.actions.requeue import requeue_lost
from mezzotint.domain.errors import LeaseLost, WorkerLost
from mezzotint.domain.event import Changed
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import Job, JobState
from mezzotint.store import (
    Database,
    EventBus,
    Jobs,
    Objects,
    WorkerOffer,
)
from tests.making import NOW, make_ending, make_job

pytestmark = pytest.mark.anyio
WORKER = WorkerId("w1")
OFFER = WorkerOffer(worker=WORKER)


@pytest.fixture
async def backing(tmp_path: Path, database_file: Path) -> AsyncIterator[BackingServices]:
    database = Database(database_file)
    yield BackingServices(jobs=Jobs(database), objects=Objects(tmp_path / "objects"), bus=EventBus())
    await database.close()


async def started(backing: BackingServices) -> Job:
    """A running job."""
    await backing.jobs.add(make_job())
    (job,) = await claim(backing, OFFER, NOW, 30)
    return job


async def test_a_claim_is_heard_by_the_jobs_watchers(backing: BackingServices) -> None:
    job = make_job()
    await backing.jobs.add(job)
    with backing.bus.watch(job.id) as queue:
        await claim(backing, OFFER, NOW, 30)
        event = queue.get_nowait()
    assert isinstance(event, Changed)
    assert event.job.state is JobState.RUNNING


async def test_the_newest_checkpoint_that_is_there_is_used(backing: BackingServices) -> None:
    job = await started(backing)
    for step in (10, 20, 30):
        await save(backing, job, step, b"state at %d" % step, NOW)
    row = await backing.jobs.get(job.id)
    assert row is not None
    found = await newest(backing, row)
    assert found is not None
    assert found[1] == b"state at 30"
    await backing.objects.delete([found[0].key])
    older = await newest(backing, row)
    assert older is not None
    assert older[1] == b"state at 20"
    await discard(backing, job.id, older[0])
    row = await backing.jobs.get(job.id)
    assert row is not None
    assert await newest(backing, row) is None


async def test_a_late_checkpoint_does_not_replace_the_new_holders(backing: BackingServices) -> None:
    late = await started(backing)
    assert late.lease is not None
    await backing.jobs.requeue(late.id, late.lease, NOW)
    (holder,) = await claim(backing, WorkerOffer(worker=WorkerId("w2")), NOW, 30)
    await save(backing, holder, 10, b"new", NOW)
    with pytest.raises(LeaseLost):
        await save(backing, late, 20, b"late", NOW)
    assert len(await backing.objects.keys("checkpoints/")) == 1
    row = await backing.jobs.get(late.id)
    assert row is not None
    found = await newest(backing, row)
    assert found is not None
    assert found[1] == b"new"


async def test_ending_or_cancelling_a_job_deletes_its_checkpoints(backing: BackingServices) -> None:
    for end in (True, False):
        job = await started(backing)
        assert job.lease is not None
        await save(backing, job, 10, b"x", NOW)
        if end:
            await finish(backing, job, job.lease, make_ending(job))
        else:
            await cancel(backing, job.id, NOW)
        assert await backing.objects.keys("checkpoints/") == []


async def test_a_lost_job_goes_back_to_the_queue_with_its_checkpoint(backing: BackingServices) -> None:
    job = await started(backing)
    await save(backing, job, 10, b"x", NOW)
    lost = await backing.jobs.running(expired_at=NOW + timedelta(minutes=1))
    assert await requeue_lost(backing, lost, 5, NOW) == 1
    row = await backing.jobs.get(job.id)
    assert row is not None
    assert row.state is JobState.QUEUED
    assert [saved.step for saved in row.checkpoints] == [10]


async def test_a_job_that_keeps_killing_its_worker_is_given_up(backing: BackingServices) -> None:
    job = make_job()
    await backing.jobs.add(job)
    for minute in range(3):
        at = NOW + timedelta(minutes=minute)
        await backing.jobs.come_due(at)
        await claim(backing, OFFER, at, 30)
        await requeue_lost(backing, await backing.jobs.running(worker=WORKER), 3, at, WORKER)
    row = await backing.jobs.get(job.id)
    assert row is not None
    assert row.error is not None
    assert (row.state, row.error.code) == (JobState.FAILED, WorkerLost.code)
    assert await claim(backing, OFFER, NOW, 30) == []


async def test_a_job_that_ended_two_workers_is_given_up_whatever_the_limit(backing: BackingServices) -> None:
    job = make_job()
    await backing.jobs.add(job)
    for suspects in (False, True):
        (running,) = await claim(backing, replace(OFFER, suspects=suspects), NOW, 30)
        await requeue_lost(backing, [running], 100, NOW, WORKER, is_start=True)
    row = await backing.jobs.get(job.id)
    assert row is not None
    assert row.error is not None
    assert (row.state, row.error.code) == (JobState.FAILED, WorkerLost.code)


async def test_a_job_that_lost_two_workers_has_one_more_try_while_workers_end_without_it(
    backing: BackingServices,
) -> None:
    job, other = make_job(), make_job()
    await backing.jobs.add(job)
    for n, suspects in enumerate((False, True, True)):
        at = NOW + timedelta(seconds=10 * n)
        await backing.jobs.come_due(at)
        (running,) = await claim(backing, WorkerOffer(worker=WorkerId(f"w{n}"), suspects=suspects), at, 30)
        assert running.id == job.id
        if n == 1:
            await backing.jobs.add(other)
            killed = await claim(backing, WorkerOffer(worker=WorkerId("killed")), at, 30)
            await requeue_lost(backing, killed, 100, at)
        await requeue_lost(backing, [running], 100, at)
    row, spared = await backing.jobs.get(job.id), await backing.jobs.get(other.id)
    assert row is not None
    assert row.error is not None
    assert (row.state, row.error.code) == (JobState.FAILED, WorkerLost.code)
    assert "third time" in row.error.message
    assert spared is not None
    assert (spared.state, spared.num_losses) == (JobState.QUEUED, 1)


async def test_a_lease_that_ends_while_its_worker_lives_makes_no_suspect(backing: BackingServices) -> None:
    job = make_job()
    await backing.jobs.add(job)
    for minute in range(3):
        at = NOW + timedelta(minutes=minute)
        await backing.jobs.come_due(at)
        (running,) = await claim(backing, OFFER, at, 30)
        assert await requeue_lost(backing, [running], 100, at, WORKER) == 1


async def test_a_renewed_job_is_not_taken_for_lost(backing: BackingServices) -> None:
    job = await started(backing)
    lost = await backing.jobs.running(worker=WORKER)
    assert job.lease is not None
    await backing.jobs.requeue(job.id, job.lease, NOW)
    await claim(backing, WorkerOffer(worker=WorkerId("w2")), NOW, 30)
    assert await requeue_lost(backing, lost, 5, NOW) == 0
    assert await requeue_lost(backing, [replace(lost[0], attempts=99)], 5, NOW) == 0
    row = await backing.jobs.get(job.id)
    assert row is not None
    assert row.state is JobState.RUNNING


async def test_a_sweep_keeps_what_open_jobs_need(backing: BackingServices) -> None:
    job = await started(backing)
    await save(backing, job, 10, b"x", NOW)
    await backing.objects.put("checkpoints/job_gone/0001-00010.safetensors", b"left behind")
    assert await delete_unreferenced_checkpoints(backing) == 1
    assert len(await backing.objects.keys("checkpoints/")) == 1
