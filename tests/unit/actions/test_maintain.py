"""Looking after the queue takes no lease for lost that nobody could renew."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mezzotint.actions.claim import claim
from mezzotint.actions.finish import BackingServices
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
async def backing(tmp_path: Path, database_file: Path) -> AsyncIterator[BackingServices]:
    database = Database(database_file)
    yield BackingServices(jobs=Jobs(database), objects=Objects(tmp_path / "objects"), bus=EventBus())
    await database.close()


async def running_job(backing: BackingServices) -> Job:
    await backing.jobs.add(make_job())
    (job,) = await claim(backing, WorkerOffer(worker=WorkerId("w1")), NOW, LEASE_S)
    return job


async def state_of(backing: BackingServices, job: JobId) -> JobState:
    row = await backing.jobs.get(job)
    assert row is not None
    return row.state


def maintenance_of(backing: BackingServices, held: frozenset[JobId] = frozenset()) -> Maintenance:
    def now() -> datetime:
        return AFTER

    return Maintenance(backing=backing, max_attempts=3, now=now, holds=held.__contains__)


async def test_a_job_whose_lease_is_over_goes_back_to_the_queue(backing: BackingServices) -> None:
    job = await running_job(backing)
    await maintenance_of(backing).run()
    assert await state_of(backing, job.id) is JobState.QUEUED


async def test_a_job_in_this_workers_hands_is_not_lost_though_its_lease_is_over(backing: BackingServices) -> None:
    job = await running_job(backing)
    await maintenance_of(backing, held=frozenset({job.id})).run()
    assert await state_of(backing, job.id) is JobState.RUNNING


async def test_after_an_outage_leases_are_spared_until_they_could_be_renewed(
    backing: BackingServices, tmp_path: Path
) -> None:
    job = await running_job(backing)
    maintenance, steady_s = maintenance_of(backing), [0.0]
    maintenance.steady = lambda: steady_s[0]
    await backing.jobs._database.close()
    path = tmp_path / "mezzotint.db"
    path.rename(tmp_path / "away")
    path.mkdir()  # the database cannot be opened
    with pytest.raises(StorageUnavailable):
        await maintenance.run()
    path.rmdir()
    (tmp_path / "away").rename(path)
    await maintenance.run()
    assert await state_of(backing, job.id) is JobState.RUNNING
    steady_s[0] += RENEWAL_S
    await maintenance.run()
    assert await state_of(backing, job.id) is JobState.QUEUED
