"""Looking after the queue takes no lease for lost that nobody could renew."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mezzotint.actions.claim import claim
from mezzotint.actions.finish import Desk
from mezzotint.actions.maintain import RENEWAL_S, Maintenance
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import Job, JobState
from mezzotint.store import Database, EventBus, Jobs, Objects, WorkerOffer
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
LEASE_S = 30
AFTER = NOW + timedelta(seconds=LEASE_S + 1)
"""When the lease is over."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database(tmp_path / "mezzotint.db")
    database.migrate()
    yield Desk(jobs=Jobs(database), objects=Objects(tmp_path / "objects"), bus=EventBus())
    await database.close()


async def running_job(desk: Desk) -> Job:
    await desk.jobs.add(make_job())
    (job,) = await claim(desk, WorkerOffer(worker=WorkerId("w1")), NOW, LEASE_S)
    return job


async def state_of(desk: Desk, job: JobId) -> JobState:
    row = await desk.jobs.get(job)
    assert row is not None
    return row.state


def maintenance_of(desk: Desk, held: frozenset[JobId] = frozenset()) -> Maintenance:
    def now() -> datetime:
        return AFTER

    return Maintenance(desk=desk, max_attempts=3, now=now, holds=held.__contains__)


async def test_a_job_whose_lease_is_over_goes_back_to_the_queue(desk: Desk) -> None:
    job = await running_job(desk)
    await maintenance_of(desk).run()
    assert await state_of(desk, job.id) is JobState.QUEUED


async def test_a_job_in_this_workers_hands_is_not_lost_though_its_lease_is_over(desk: Desk) -> None:
    job = await running_job(desk)
    await maintenance_of(desk, held=frozenset({job.id})).run()
    assert await state_of(desk, job.id) is JobState.RUNNING


async def test_after_an_outage_leases_are_spared_until_they_could_be_renewed(desk: Desk, tmp_path: Path) -> None:
    job = await running_job(desk)
    maintenance, steady_s = maintenance_of(desk), [0.0]
    maintenance.steady = lambda: steady_s[0]
    await desk.jobs._database.close()
    path = tmp_path / "mezzotint.db"
    path.rename(tmp_path / "away")
    path.mkdir()  # the database cannot be opened
    with pytest.raises(StorageUnavailable):
        await maintenance.run()
    path.rmdir()
    (tmp_path / "away").rename(path)
    await maintenance.run()
    assert await state_of(desk, job.id) is JobState.RUNNING
    steady_s[0] += RENEWAL_S
    await maintenance.run()
    assert await state_of(desk, job.id) is JobState.QUEUED
