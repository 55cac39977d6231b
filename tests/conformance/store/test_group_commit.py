"""Claims and endings that come together: few transactions, and each of them as if it were alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import Job, JobState, Lease
from mezzotint.store import Database, Jobs, WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job

pytestmark = pytest.mark.anyio
OFFER = WorkerOffer(worker=WorkerId("w1"))
OTHER = WorkerOffer(worker=WorkerId("w2"))


def held(job: Job) -> Lease:
    assert job.lease is not None
    return job.lease


@contextmanager
def counted(database: Database) -> Iterator[Counter[bool]]:
    """Transactions meanwhile, by whether they are one statement."""
    begun: Counter[bool] = Counter()
    write = database.write

    @asynccontextmanager
    async def counting(*, is_one: bool = False) -> AsyncIterator[AsyncConnection]:
        begun[is_one] += 1
        async with write(is_one=is_one) as connection:
            yield connection

    database.write = counting  # type: ignore[method-assign]
    yield begun
    database.write = write  # type: ignore[method-assign]


async def test_claims_that_come_together_share_a_transaction_and_no_job(jobs: Jobs, database: Database) -> None:
    await jobs.add(*(make_job(tenant=f"t{n % 3}") for n in range(11)))
    with counted(database) as begun:
        found = await asyncio.gather(*(jobs.claim(OFFER, NOW, 30, most=2) for _ in range(5)), jobs.claim(OTHER, NOW, 9))
    assert begun.total() <= 2
    assert [len(taken) for taken in found] == [2, 2, 2, 2, 2, 1]
    assert len({job.id for taken in found for job in taken}) == 11
    (last,) = found[-1]
    assert held(last).worker == OTHER.worker
    assert held(last).expires_at == NOW + timedelta(seconds=9)


async def test_a_claim_whose_caller_left_takes_nothing(jobs: Jobs) -> None:
    await jobs.add(make_job(), make_job())
    calls = [asyncio.ensure_future(jobs.claim(OFFER, NOW, 30)) for _ in range(2)]
    await asyncio.sleep(0)
    calls[0].cancel()
    assert len(await calls[1]) == 1
    alone = asyncio.ensure_future(jobs.claim(OFFER, NOW, 30))
    for _ in range(3):
        await asyncio.sleep(0)
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    assert len(await jobs.claim(OFFER, NOW, 30, most=2)) == 1, "neither of them was left to nobody"


async def test_jobs_that_end_together_share_a_transaction_and_each_is_charged(jobs: Jobs, database: Database) -> None:
    await jobs.add(*(make_job(tenant=f"t{n % 3}") for n in range(9)))
    taken = await jobs.claim(OFFER, NOW, 30, most=9)
    endings = [make_ending(job, images=(make_image(job),), cost_s=1.0 + n) for n, job in enumerate(taken)]
    with counted(database) as begun:
        ended = await asyncio.gather(
            *(jobs.finish(job.id, held(job), ending) for job, ending in zip(taken, endings, strict=True))
        )
    assert begun.total() <= 4, "one alone and one with all others, and what each corrects"
    assert [job.id for job in ended] == [job.id for job in taken]
    assert [job.state for job in ended] == [JobState.SUCCEEDED] * 9
    assert [len(job.images) for job in ended] == [1] * 9
    used = {tenant: (await jobs.standing(tenant, "2026-01")) for tenant in {job.tenant for job in taken}}
    assert sum(used_s for _, used_s in used.values()) == sum(1.0 + n for n in range(9))
    assert [num_open for num_open, _ in used.values()] == [0, 0, 0]


async def test_a_lost_lease_among_others_fails_alone(jobs: Jobs) -> None:
    await jobs.add(*(make_job() for _ in range(4)))
    taken = await jobs.claim(OFFER, NOW, 30, most=4)
    await jobs.cancel(taken[2].id, NOW)
    calls = [jobs.finish(job.id, held(job), make_ending(job)) for job in [*taken, taken[0]]]
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(one, LeaseLost) for one in told] == [False, False, True, False, True]
    row = await jobs.get(taken[2].id)
    assert row is not None
    assert row.state is JobState.CANCELLED


async def test_what_changes_the_same_rows_at_once_waits_in_no_circle(jobs: Jobs, database: Database) -> None:
    """Two processes of one database: claims, arrivals, renewals, cancels and ends of the same jobs and tenants."""
    other = Jobs(database)
    await jobs.add(*(make_job(tenant=f"t{n % 4}") for n in range(60)))
    running: list[Job] = []
    for turn in range(4):
        taken = await jobs.claim(OFFER, NOW, 30, most=6) + await other.claim(OTHER, NOW, 30, most=6)
        mine = {job.id: held(job) for job in reversed(taken)}
        calls = [
            *(store.finish(job.id, held(job), make_ending(job)) for job in taken for store in (jobs, other)),
            *(store.renew(mine, dict.fromkeys(mine, turn), NOW) for store in (jobs, other) for _ in range(3)),
            *(
                store.add(make_job(tenant=f"t{n}"), make_job(tenant=f"t{3 - n}"))
                for store in (other, jobs)
                for n in range(4)
            ),
            *(store.cancel(job.id, NOW) for store, job in zip((jobs, other), taken, strict=False)),
        ]
        claims = [store.claim(OFFER, NOW, 30, most=2) for store in (jobs, other)]
        told = await asyncio.gather(asyncio.gather(*calls, return_exceptions=True), *claims)
        running += told[1] + told[2]
        assert not [one for one in told[0] if isinstance(one, BaseException) and not isinstance(one, LeaseLost)]
    assert len({job.id for job in running}) == len(running) == 16
