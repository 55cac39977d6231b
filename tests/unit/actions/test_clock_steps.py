"""A queue whose machine's clock is set two hours ahead or back while jobs wait, run and end."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mezzotint.actions.claim import claim
from mezzotint.actions.finish import BackingServices
from mezzotint.actions.maintain import Maintenance, measure_queue
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.tier import Tier
from mezzotint.metrics import Metrics
from mezzotint.policy.retry import Retry
from mezzotint.store import Database, EventBus, Jobs, Objects, WorkerOffer, Workers
from tests.making import NOW, make_ending, make_job

pytestmark = pytest.mark.anyio
AHEAD, BACK = timedelta(hours=2), timedelta(hours=-2)
ME = WorkerId("w")


@dataclass
class Machine:
    """Its two clocks. wall: may be set; steady_s: only runs."""

    wall: timedelta = timedelta(0)
    steady_s: float = 0.0

    def now(self) -> datetime:
        return NOW + self.wall

    def run(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.steady_s += seconds


@pytest.fixture
async def backing(tmp_path: Path, database_file: Path) -> AsyncIterator[BackingServices]:
    database = Database(database_file)
    yield BackingServices(jobs=Jobs(database), objects=Objects(tmp_path / "objects"), bus=EventBus(), metrics=Metrics())
    await database.close()


async def running(backing: BackingServices, machine: Machine) -> Job:
    await backing.jobs.add(make_job())
    (job,) = await claim(backing, WorkerOffer(worker=ME), machine.now(), 30)
    return job


async def state(backing: BackingServices, job: JobId) -> JobState:
    row = await backing.jobs.get(job)
    assert row is not None
    return row.state


async def test_a_step_ahead_expires_no_waiting_job_and_takes_no_lease_of_a_live_worker(
    backing: BackingServices,
) -> None:
    machine = Machine()
    job = await running(backing, machine)
    waiting = [make_job(tier=Tier.FREE) for _ in range(5)]
    await backing.jobs.add(*waiting[:1])
    for one in waiting[1:]:
        await backing.jobs.add(one)
    maintenance = Maintenance(
        backing=backing, max_attempts=5, now=machine.now, lease_s=30, steady=lambda: machine.steady_s
    )
    await maintenance.run()
    machine.run(5)
    machine.wall += AHEAD
    await maintenance.run()
    assert await state(backing, job.id) is JobState.RUNNING
    assert {await state(backing, one.id) for one in waiting} == {JobState.QUEUED}
    machine.run(5)
    assert job.lease is not None
    await backing.jobs.renew({job.id: job.lease}, {job.id: 1}, machine.now() + timedelta(seconds=30))
    machine.run(26)
    await maintenance.run()
    assert await state(backing, job.id) is JobState.RUNNING, "renewed by the new clock"
    machine.run(30)
    await maintenance.run()
    assert await state(backing, job.id) is JobState.QUEUED, "a worker that is silent from then on is still missed"
    machine.run(3600)
    await maintenance.run()
    assert {await state(backing, one.id) for one in waiting} == {JobState.EXPIRED}, "after an hour that passed"


async def test_a_clock_that_is_set_back_shows_no_negative_times(backing: BackingServices) -> None:
    machine = Machine()
    waiting, cancelled, ended = make_job(), make_job(), make_job()
    await backing.jobs.add(ended)
    machine.wall += BACK
    (taken,) = await claim(backing, WorkerOffer(worker=ME), machine.now(), 30)
    assert taken.started_at == taken.created_at
    machine.wall += BACK
    assert taken.lease is not None
    finished = make_ending(ended, state=JobState.FAILED)
    await backing.jobs.finish(ended.id, taken.lease, replace(finished, at=machine.now()))
    for job in (waiting, cancelled):
        await backing.jobs.add(job)
    await backing.jobs.cancel(cancelled.id, machine.now())
    for id in (ended.id, cancelled.id):
        row = await backing.jobs.get(id)
        assert row is not None
        assert row.finished_at == row.created_at
    await measure_queue(backing, machine.now())
    waits = await backing.jobs.wait_times(machine.now() - timedelta(days=1), machine.now())
    assert min(seconds for lane in waits.values() for seconds in lane) == 0.0
    assert 'mezzotint_oldest_queued_seconds{lane="free"} 0.0' in backing.metrics.text().decode()


async def test_a_try_that_was_put_off_is_not_put_off_for_hours_more_by_a_clock_set_back(
    backing: BackingServices,
) -> None:
    machine = Machine()
    job = await running(backing, machine)
    assert job.lease is not None
    later = Retry(not_before=NOW + timedelta(seconds=60), avoid=ME, avoid_until=NOW + timedelta(seconds=120))
    assert await backing.jobs.requeue(job.id, job.lease, NOW, retry=later, gpu_s=0.0)
    assert await backing.jobs.come_due(NOW) == 0
    machine.wall += BACK
    assert await backing.jobs.come_due(machine.now()) == 1
    assert [one.id for one in await claim(backing, WorkerOffer(worker=ME), machine.now(), 30)] == [job.id]


async def test_a_drained_worker_stays_drained_when_the_clock_of_another_steps_ahead(backing: BackingServices) -> None:
    workers, drained = Workers(backing.jobs._database), WorkerId("drained")
    await workers.record_heartbeat(drained, NOW)
    await workers.drain(drained, NOW, is_drained=True)
    await workers.record_heartbeat(ME, NOW + AHEAD)
    await workers.record_heartbeat(drained, NOW + AHEAD)
    assert await workers.is_drained(drained)
