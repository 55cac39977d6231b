"""What tenants used, read back from the ledger as every database must."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.tenant import MonthlyUsage
from mezzotint.store import Database, Jobs, Ledger, WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job

pytestmark = pytest.mark.anyio
ADA = TenantId("ada")
MONTH = f"{NOW:%Y-%m}"


async def ended(jobs: Jobs, *, tenant: str = "ada", state: JobState = JobState.SUCCEEDED, months: int = 0) -> None:
    """A job that took 2.5 GPU-seconds; its end lies so many months of 31 days after now."""
    job = make_job(tenant=tenant)
    await jobs.add(job)
    (taken,) = await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    pictures = (make_image(job),) if state is JobState.SUCCEEDED else ()
    ending = make_ending(job, state, images=pictures, cost_s=2.5)
    assert await jobs.finish(job.id, taken.lease, replace(ending, at=NOW + months * timedelta(days=31)))


async def test_months_are_told_apart_newest_first_and_tenants_too(database: Database, jobs: Jobs) -> None:
    ledger = Ledger(database)
    assert await ledger.usage(ADA, "0001-01") == []
    await ended(jobs)
    await ended(jobs)
    await ended(jobs, tenant="eve")
    await ended(jobs, months=1)
    now = MonthlyUsage(month=MONTH, num_jobs=2, num_images=2, num_steps=60, gpu_s=5.0)
    later = MonthlyUsage(month="2026-02", num_jobs=1, num_images=1, num_steps=30, gpu_s=2.5)
    assert await ledger.usage(ADA, "0001-01") == [later, now]
    assert await ledger.usage(ADA, "2026-02") == [later]
    assert await ledger.usage(TenantId("bob"), "0001-01") == []


async def test_passes_and_foretold_calls_are_counted_beside_the_steps(database: Database, jobs: Jobs) -> None:
    for num_passes in (12, 20):
        job = make_job()
        await jobs.add(job)
        (taken,) = await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
        assert taken.lease is not None
        ending = replace(make_ending(job), num_passes=num_passes, num_forecast=30 - num_passes)
        ended = await jobs.finish(job.id, taken.lease, ending)
        assert (ended.num_passes, ended.num_forecast) == (num_passes, 30 - num_passes)
    (month,) = await Ledger(database).usage(ADA, MONTH)
    assert (month.num_steps, month.num_passes, month.num_forecast) == (60, 32, 28)


async def test_what_failed_jobs_took_is_waived(database: Database, jobs: Jobs) -> None:
    await ended(jobs, state=JobState.FAILED)
    await ended(jobs, state=JobState.BLOCKED)
    (month,) = await Ledger(database).usage(ADA, MONTH)
    assert month == MonthlyUsage(month=MONTH, num_jobs=2, num_images=0, num_steps=60, gpu_s=2.5, waived_s=2.5)


async def test_spending_is_summed_by_the_state_that_jobs_ended_in(database: Database, jobs: Jobs) -> None:
    await ended(jobs)
    await ended(jobs, tenant="eve")
    await ended(jobs, state=JobState.BLOCKED)
    await ended(jobs, months=-1)
    spent = await Ledger(database).spent_by_state(NOW)
    assert spent == {JobState.SUCCEEDED: (2, 5.0), JobState.BLOCKED: (1, 2.5)}
