"""Every transition from every state, and the order in which transitions take locks."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import TRANSITIONS, Job, JobError, JobState, Lease
from mezzotint.domain.tier import Tier
from mezzotint.policy.retry import Retry
from mezzotint.store import Changes, Database, Jobs, WorkerOffer
from mezzotint.store.schema import flows
from mezzotint.store.schema import jobs as rows
from tests.making import NOW, make_ending, make_job

pytestmark = pytest.mark.anyio
OFFER = WorkerOffer(worker=WorkerId("w1"))
SOON, LATER = NOW + timedelta(seconds=5), NOW + timedelta(hours=2)
ERROR = JobError(code="expired", message="It waited too long.", hint="Send it again.")
PUT_OFF = Retry(not_before=SOON, avoid=None, avoid_until=None)
NOBODYS = Lease(worker=WorkerId("w1"), token=1, expires_at=NOW)


async def waiting(jobs: Jobs) -> Job:
    job = make_job()
    await jobs.add(job)
    return job


async def running(jobs: Jobs) -> Job:
    await jobs.add(make_job())
    (job,) = await jobs.claim(OFFER, NOW, 30)
    return job


async def put_off(jobs: Jobs) -> Job:
    job = await running(jobs)
    assert job.lease is not None
    assert await jobs.requeue(job.id, job.lease, NOW, retry=PUT_OFF)
    return job


async def given_back(jobs: Jobs) -> Job:
    job = await running(jobs)
    assert job.lease is not None
    assert await jobs.requeue(job.id, job.lease, NOW)
    return job


def ended(state: JobState) -> Callable[[Jobs], Awaitable[Job]]:
    async def make(jobs: Jobs) -> Job:
        job = await running(jobs)
        assert job.lease is not None
        await jobs.finish(job.id, job.lease, make_ending(job, state))
        return job

    return make


async def cancelled(jobs: Jobs) -> Job:
    job = await waiting(jobs)
    assert await jobs.cancel(job.id, NOW)
    return job


async def expired(jobs: Jobs) -> Job:
    job = await waiting(jobs)
    assert await jobs.expire(Tier.FREE, LATER, ERROR, LATER) == [job.id]
    return job


STATES: dict[str, Callable[[Jobs], Awaitable[Job]]] = {
    "waiting": waiting,
    "given back": given_back,
    "put off": put_off,
    "running": running,
    "succeeded": ended(JobState.SUCCEEDED),
    "blocked": ended(JobState.BLOCKED),
    "failed": ended(JobState.FAILED),
    "cancelled": cancelled,
    "expired": expired,
}


async def finish(jobs: Jobs, job: Job) -> bool:
    try:
        await jobs.finish(job.id, job.lease or NOBODYS, make_ending(job))
    except LeaseLost:
        return False
    return True


async def claim(jobs: Jobs, job: Job) -> bool:
    return [taken.id for taken in await jobs.claim(OFFER, LATER, 30)] == [job.id]


async def cancel(jobs: Jobs, job: Job) -> bool:
    return await jobs.cancel(job.id, LATER)


async def give_back(jobs: Jobs, job: Job) -> bool:
    return await jobs.requeue(job.id, job.lease or NOBODYS, LATER)


async def expire(jobs: Jobs, job: Job) -> bool:
    return await jobs.expire(Tier.FREE, LATER, ERROR, LATER) == [job.id]


async def come_due(jobs: Jobs, job: Job) -> bool:
    return await jobs.come_due(LATER) == 1


async def revive(jobs: Jobs, job: Job) -> bool:
    return await jobs.revive(job.id, LATER)


VERBS: dict[Callable[[Jobs, Job], Awaitable[bool]], dict[str, JobState]] = {
    claim: {"waiting": JobState.RUNNING, "given back": JobState.RUNNING},
    finish: {"running": JobState.SUCCEEDED},
    cancel: dict.fromkeys(("waiting", "given back", "put off", "running"), JobState.CANCELLED),
    give_back: {"running": JobState.QUEUED},
    expire: {"waiting": JobState.EXPIRED},
    come_due: {"put off": JobState.QUEUED},
    revive: {"failed": JobState.QUEUED},
}
"""Each transition: the states that it changes, and to what."""


async def count_jobs(database: Database) -> tuple[int, int, int]:
    """Waiting and running jobs by their own rows, after a comparison with what their tenants' flows count."""
    async with database.read() as connection:
        own = select(func.count(rows.c.waits_in), func.count(rows.c.lease_worker)).select_from(rows)
        counted = tuple((await connection.execute(own)).one())
        sums = func.coalesce(func.sum(flows.c.num_queued), 0), func.coalesce(func.sum(flows.c.num_running), 0)
        assert tuple((await connection.execute(select(*sums))).one()) == counted
        marked = (await connection.execute(select(func.count(flows.c.waits_in)))).scalar_one()
    return (*counted, marked)


@pytest.mark.parametrize("state", STATES)
async def test_every_transition_from_a_state_changes_all_rows_or_none(
    state: str, jobs: Jobs, database: Database
) -> None:
    for verb, targets in VERBS.items():
        job = await STATES[state](jobs)
        before = await jobs.get(job.id)
        assert before is not None
        num_changes = len(await Changes(database).of_job(job.id, 0))
        is_changed = await verb(jobs, job)
        after = await jobs.get(job.id)
        assert after is not None
        assert is_changed == (state in targets), f"{verb.__name__} of a job that is {state}"
        assert after.state is targets.get(state, before.state)
        if after.state is not before.state:
            assert after.state in TRANSITIONS[before.state]
        logged = (await Changes(database).of_job(job.id, 0))[num_changes:]
        assert [one.state for one in logged] == ([after.state] if after.state is not before.state else [])
        await count_jobs(database)
        await jobs.cancel(job.id, LATER)
        assert await count_jobs(database) == (0, 0, 0)


async def wait_for_locks(database: Database, number: int) -> None:
    """Returns when so many transactions of the server wait for a lock."""
    query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(60):
        while True:
            async with database.read() as connection:
                if (await connection.execute(query)).scalar_one() >= number:
                    return
            await asyncio.sleep(0.02)


async def put_off_two(jobs: Jobs) -> list[JobId]:
    await jobs.add(make_job(), make_job())
    taken = await jobs.claim(OFFER, NOW, 30, most=2)
    for job in taken:
        assert job.lease is not None
        assert await jobs.requeue(job.id, job.lease, NOW, retry=PUT_OFF)
    return [job.id for job in taken]


async def test_a_sweep_of_several_jobs_and_a_cancel_of_the_last_never_wait_in_a_circle(
    jobs: Jobs, database: Database
) -> None:
    """The sweep holds one job and waits for the tenant's flow; the cancel holds another job and waits there, too.

    A sweep that locked jobs and flows in turns would then ask for the job that the cancel holds.
    """
    if not database.is_postgres:
        pytest.skip("SQLite has one writer at a time")
    ids = sorted([make_job().id for _ in range(2)])
    await jobs.add(make_job(id=ids[0]), make_job(id=ids[1]))
    async with database.write() as gate:
        await gate.execute(select(flows).with_for_update())
        sweep = asyncio.create_task(jobs.expire(Tier.FREE, LATER, ERROR, LATER))
        await wait_for_locks(database, 1)
        cancel = asyncio.create_task(jobs.cancel(ids[1], LATER))
        await wait_for_locks(database, 2)
    assert sorted(await sweep) == ids
    assert await cancel is False
    assert await count_jobs(database) == (0, 0, 0)


async def test_two_processes_that_wake_the_same_jobs_wake_each_once(jobs: Jobs, database: Database) -> None:
    if not database.is_postgres:
        pytest.skip("SQLite has one writer at a time")
    await put_off_two(jobs)
    async with database.write() as gate:
        await gate.execute(select(flows).with_for_update())
        first = asyncio.create_task(jobs.come_due(LATER))
        await wait_for_locks(database, 1)
        second = asyncio.create_task(Jobs(database).come_due(LATER))
        await wait_for_locks(database, 2)
    assert (await first, await second) == (2, 0)
    assert await count_jobs(database) == (2, 0, 1)


async def test_a_claim_and_a_sweep_that_meet_share_the_jobs(jobs: Jobs, database: Database) -> None:
    """A claim of two tenants' jobs locks both jobs before their flows, and so does the sweep that would end them."""
    if not database.is_postgres:
        pytest.skip("SQLite has one writer at a time")
    ids = sorted([make_job().id for _ in range(2)])
    await jobs.add(make_job(id=ids[0], tenant="a"))
    await jobs.add(make_job(id=ids[1], tenant="b"))
    async with database.write() as gate:
        await gate.execute(select(flows).where(flows.c.tenant == "a").with_for_update())
        sweep = asyncio.create_task(jobs.expire(Tier.FREE, LATER, ERROR, LATER))
        await wait_for_locks(database, 1)
        claim = asyncio.create_task(jobs.claim(OFFER, LATER, 30, most=2))
        await wait_for_locks(database, 2)
    assert sorted(await sweep) == ids
    assert await claim == []
    assert await count_jobs(database) == (0, 0, 0)
