"""The fair queue, retries and the ledger as every database must keep them."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from shutil import copyfile

import pytest
from sqlalchemy import func, select, update

from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.ids import JobId, TenantId, WorkerId
from mezzotint.domain.job import TRANSITIONS, CheckpointRef, Job, JobError, JobState, Lease
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.state import ChosenJob, Queue
from mezzotint.policy.retry import Retry
from mezzotint.store import Changes, Database, Jobs, WorkerOffer
from mezzotint.store.queue import claim, transitions
from mezzotint.store.schema import flows, ledger, shares
from mezzotint.store.schema import jobs as rows
from tests.making import NOW, make_ending, make_job

pytestmark = pytest.mark.anyio
OFFER = WorkerOffer(worker=WorkerId("w1"))
OTHER = WorkerOffer(worker=WorkerId("w2"))
MONTH = f"{NOW:%Y-%m}"


def held(job: Job) -> Lease:
    assert job.lease is not None
    return job.lease


async def numbers(database: Database) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """What the flows say of waiting and running jobs; what the jobs themselves say is compared."""
    async with database.read() as connection:
        queued: Counter[tuple[str, str]] = Counter()
        running: Counter[tuple[str, str]] = Counter()
        for row in (await connection.execute(select(flows))).mappings():
            queued[row["lane"], row["tenant"]] = row["num_queued"]
            running[row["lane"], row["tenant"]] = row["num_running"]
            assert (row["waits_in"] is not None) == (row["num_queued"] > 0)
        for column, told in ((rows.c.waits_in.is_not(None), queued), (rows.c.state == JobState.RUNNING, running)):
            query = select(rows.c.lane, rows.c.tenant, func.count()).where(column).group_by(rows.c.lane, rows.c.tenant)
            counted = {(lane, tenant): number for lane, tenant, number in await connection.execute(query)}
            assert +told == counted
    return queued, running


async def test_tenants_of_a_lane_take_turns_however_much_one_submits(jobs: Jobs) -> None:
    await jobs.add(*(make_job(tenant="greedy") for _ in range(8)))
    await jobs.add(make_job(tenant="modest"), make_job(tenant="modest"))
    taken = [await jobs.claim(OFFER, NOW, 30) for _ in range(4)]
    assert Counter(job.tenant for (job,) in taken) == {"greedy": 2, "modest": 2}


async def test_a_batch_takes_what_single_claims_would_have_taken(jobs: Jobs) -> None:
    kinds = [(Tier.PRO, "a"), (Tier.PRO, "b"), (Tier.PAID, "a"), (Tier.FREE, "c"), (Tier.FREE, "d")]
    for tier, tenant in kinds:
        await jobs.add(*(make_job(tier=tier, tenant=tenant) for _ in range(20)))
    batch = await jobs.claim(OFFER, NOW, 30, most=26)
    for job in batch:
        await jobs.requeue(job.id, held(job), NOW)
    singles = [job.id for _ in batch for job in await jobs.claim(OFFER, NOW, 30)]
    assert [job.id for job in batch] == singles
    assert Counter(job.tier for job in batch) == {Tier.PRO: 16, Tier.PAID: 8, Tier.FREE: 2}


async def test_a_batch_serves_many_tenants_and_old_jobs_as_single_claims_do(
    jobs: Jobs, tmp_path: Path, migrated_file: Path
) -> None:
    alike = Database(copyfile(migrated_file, tmp_path / "alike.db"))
    for n in range(60):
        job = make_job(tier=list(Tier)[n % 3], tenant=f"t{n // 3 % 10}")
        for queue in (jobs, Jobs(alike)):
            await queue.add(replace(job, created_at=NOW - timedelta(seconds=400 - 6.5 * n)))
    batch = await jobs.claim(OFFER, NOW, 30, most=25)
    singles = [job.id for _ in batch for job in await Jobs(alike).claim(OFFER, NOW, 30)]
    await alike.close()
    assert [job.id for job in batch] == singles
    assert len({(job.tier, job.tenant) for job in batch}) > 15


async def test_counts_of_the_queue_stay_true_whatever_happens(jobs: Jobs, database: Database) -> None:
    dice = random.Random(5)
    open_jobs: list[Job] = []
    running: list[Job] = []
    for turn in range(60):
        now = NOW + timedelta(seconds=turn)
        match dice.randrange(6):
            case 0 | 1:
                job = make_job(tier=dice.choice(list(Tier)), tenant=dice.choice("abc"))
                await jobs.add(job)
                open_jobs.append(job)
            case 2:
                running += await jobs.claim(OFFER, now, 30, most=dice.randrange(1, 4))
            case 3 if running:
                job = running.pop(dice.randrange(len(running)))
                await jobs.finish(job.id, held(job), make_ending(job))
            case 4 if running:
                job = running.pop(dice.randrange(len(running)))
                retry = Retry(not_before=now + timedelta(seconds=dice.choice([0, 3])), avoid=None, avoid_until=now)
                await jobs.requeue(job.id, held(job), now, retry=retry)
            case 5 if open_jobs:
                job = dice.choice(open_jobs)
                await jobs.cancel(job.id, now)
                running = [other for other in running if other.id != job.id]
        await jobs.come_due(now)
        await numbers(database)


async def test_claims_cancels_and_arrivals_at_once_neither_lose_nor_double_a_job(
    jobs: Jobs, database: Database
) -> None:
    waiting = [make_job(tenant=f"t{n % 3}", tier=list(Tier)[n % 3]) for n in range(18)]
    await jobs.add(*waiting)
    late = [make_job(tenant=f"t{n % 3}") for n in range(6)]
    done = await asyncio.gather(
        *(jobs.claim(WorkerOffer(worker=WorkerId(f"w{n}")), NOW, 30, most=3) for n in range(6)),
        *(jobs.cancel(job.id, NOW) for job in waiting[::3]),
        *(jobs.add(job) for job in late),
    )
    claimed = [job.id for batch in done if isinstance(batch, list) for job in batch]
    assert len(claimed) == len(set(claimed))
    queued, running = await numbers(database)
    still_open = sum(queued.values()) + sum(running.values())
    assert still_open == len(waiting) + len(late) - 6


async def test_a_claim_that_waits_for_a_job_being_cancelled_takes_the_next(jobs: Jobs, database: Database) -> None:
    first, second = make_job(), make_job()
    await jobs.add(first, second)
    async with database.write() as connection:
        await transitions.cancel(connection, first.id, NOW)
        claim = asyncio.create_task(jobs.claim(OFFER, NOW, 30))
        await asyncio.sleep(0.3)  # the claim comes to the row and waits; nothing tells that it has
    assert [job.id for job in await claim] == [second.id]


async def test_a_failed_try_waits_its_time_and_another_worker_takes_it(jobs: Jobs) -> None:
    await jobs.add(make_job())
    (job,) = await jobs.claim(OFFER, NOW, 30)
    later, much_later = NOW + timedelta(seconds=5), NOW + timedelta(seconds=60)
    retry = Retry(not_before=later, avoid=OFFER.worker, avoid_until=much_later)
    assert await jobs.requeue(job.id, held(job), NOW, retry=retry)
    row = await jobs.get(job.id)
    assert row is not None
    assert (row.state, row.due_at) == (JobState.QUEUED, later)
    assert await jobs.claim(OTHER, NOW, 30) == []
    assert await jobs.come_due(NOW) == 0
    assert await jobs.come_due(later) == 1
    assert await jobs.claim(OFFER, later, 30) == [], "the worker that failed it is to leave it alone"
    assert [taken.id for taken in await jobs.claim(OTHER, later, 30)] == [job.id]


async def test_the_only_worker_gets_a_job_back_when_nobody_else_came(jobs: Jobs) -> None:
    await jobs.add(make_job())
    (job,) = await jobs.claim(OFFER, NOW, 30)
    until = NOW + timedelta(seconds=60)
    await jobs.requeue(job.id, held(job), NOW, retry=Retry(not_before=NOW, avoid=OFFER.worker, avoid_until=until))
    assert len(await jobs.claim(OFFER, until, 30)) == 1


async def test_a_worker_gets_only_jobs_of_its_models_and_lanes(jobs: Jobs) -> None:
    await jobs.add(make_job(tier=Tier.FREE))
    assert await jobs.claim(WorkerOffer(worker=WorkerId("w"), models=frozenset({"other"})), NOW, 30) == []
    assert await jobs.claim(WorkerOffer(worker=WorkerId("w"), lanes=frozenset({Tier.PRO})), NOW, 30) == []
    models = frozenset({"other", "mezzotint-starter"})
    assert len(await jobs.claim(WorkerOffer(worker=WorkerId("w"), models=models), NOW, 30)) == 1


async def test_a_worker_of_one_lane_takes_nothing_from_the_others_turn(jobs: Jobs) -> None:
    """Free waits while a worker takes Pro jobs alone; afterwards it has its turns back, not only its usual part."""
    await jobs.add(*(make_job(tier=Tier.PRO, tenant="p") for _ in range(40)))
    await jobs.add(*(make_job(tier=Tier.FREE, tenant="f") for _ in range(40)))
    await jobs.claim(OFFER, NOW, 30, most=10)
    only_pro = WorkerOffer(worker=WorkerId("w"), lanes=frozenset({Tier.PRO}))
    assert len(await jobs.claim(only_pro, NOW, 30, most=16)) == 16
    afterwards = await jobs.claim(OFFER, NOW, 30, most=5)
    assert [job.tier for job in afterwards][:3] == [Tier.FREE] * 3, "it would be one of five if it had been idle"


async def test_a_worker_of_other_models_takes_nothing_from_the_others_turn(jobs: Jobs, database: Database) -> None:
    await jobs.add(*(make_job(tier=tier) for tier in (Tier.FREE, Tier.FREE, Tier.PRO)))
    async with database.write() as connection:
        await connection.execute(update(rows).where(rows.c.lane == Tier.PRO).values(model="other"))
    await jobs.claim(OFFER, NOW, 30)
    await jobs.claim(WorkerOffer(worker=WorkerId("w"), models=frozenset({"other"})), NOW, 30)
    async with database.read() as connection:
        query = select(shares.c.is_idle).where(shares.c.share == Tier.FREE)
        assert not (await connection.execute(query)).scalar_one()


async def test_a_claim_gives_up_what_was_cancelled_meanwhile_and_looks_again(
    jobs: Jobs, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, left = make_job(tenant="a"), make_job(tenant="b")
    await jobs.add(gone)
    await jobs.add(left)
    seen: list[int] = []

    def choose_slowly(queue: Queue, now: datetime) -> ChosenJob | None:
        choice = choose_job(queue, now)
        seen.append(len(queue.lines))
        if len(seen) == 1:  # as if it were cancelled between the look and the write
            return replace(choice, job=JobId("job_gone")) if choice is not None else None
        return choice

    monkeypatch.setattr(claim, "choose_job", choose_slowly)
    (job,) = await jobs.claim(OFFER, NOW, 30)
    assert job.id == gone.id
    queued, running = await numbers(database)
    assert (sum(queued.values()), sum(running.values())) == (1, 1)
    async with database.read() as connection:
        tags = (await connection.execute(select(flows.c.start_tag).order_by(flows.c.tenant))).scalars().all()
    assert tags[1] == 0.0
    assert tags[0] == pytest.approx(gone.parameters.cost), "moved on once, not twice"


async def test_a_claim_that_the_server_lost_is_fenced_off_by_its_workers_name(jobs: Jobs, database: Database) -> None:
    """The same token twice: the row went back to what it was before the first of two claims."""
    await jobs.add(make_job())
    (lost,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.requeue(lost.id, held(lost), NOW)
    async with database.write() as connection:
        await connection.execute(update(rows).values(lease_token=rows.c.lease_token - 1))
    (job,) = await jobs.claim(OTHER, NOW, 30)
    assert held(job).token == held(lost).token
    assert await jobs.renew({lost.id: held(lost)}, {}, NOW) == set()
    with pytest.raises(LeaseLost):
        await jobs.finish(lost.id, held(lost), make_ending(lost))
    with pytest.raises(LeaseLost):
        await jobs.add_checkpoint(lost.id, held(lost), CheckpointRef(step=3, key="k"), 2, NOW)
    assert await jobs.renew({job.id: held(job)}, {job.id: 4}, NOW) == {job.id}


async def test_every_step_of_the_table_is_logged_once(jobs: Jobs, database: Database) -> None:
    """Walks a job along every arrow of the transition table that ends somewhere else."""
    walked: set[tuple[JobState, JobState]] = set()

    async def logged(job: Job) -> list[JobState]:
        found = await Changes(database).of_job(job.id, 0)
        assert [change.number for change in found] == list(range(1, len(found) + 1))
        states = [change.state for change in found]
        walked.update(pairwise(states))
        return states

    async def begun() -> Job:
        await jobs.add(make_job())
        (job,) = await jobs.claim(OFFER, NOW, 30)
        return job

    for state in (JobState.SUCCEEDED, JobState.BLOCKED, JobState.FAILED):
        job = await begun()
        await jobs.finish(job.id, held(job), make_ending(job, state))
        assert await logged(job) == [JobState.QUEUED, JobState.RUNNING, state]
    await jobs.revive(job.id, NOW)
    assert (await logged(job))[-1] is JobState.QUEUED
    await jobs.cancel(job.id, NOW)
    assert (await logged(job))[-1] is JobState.CANCELLED
    job = await begun()
    await jobs.requeue(job.id, held(job), NOW)
    assert (await logged(job))[-1] is JobState.QUEUED
    (job,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.cancel(job.id, NOW)
    assert (await logged(job))[-1] is JobState.CANCELLED
    old = make_job()
    await jobs.add(old)
    later = NOW + timedelta(hours=1)
    await jobs.expire(Tier.FREE, later, JobError(code="c", message="m", hint="h"), later)
    assert await logged(old) == [JobState.QUEUED, JobState.EXPIRED]
    by_takedowns = {(JobState.SUCCEEDED, JobState.BLOCKED), (JobState.BLOCKED, JobState.SUCCEEDED)}  # safety/
    table = {(before, after) for before, steps in TRANSITIONS.items() for after in steps}
    assert walked == table - by_takedowns


async def test_old_jobs_expire_with_a_reason_unless_they_began(jobs: Jobs, database: Database) -> None:
    began, old = make_job(), make_job()
    await jobs.add(began)
    (taken,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.requeue(taken.id, held(taken), NOW)
    await jobs.add(old)
    error = JobError(code="waited_too_long", message="m", hint="h")
    assert await jobs.expire(Tier.FREE, NOW, error, NOW) == []
    assert await jobs.expire(Tier.FREE, NOW + timedelta(hours=1), error, NOW) == [old.id]
    row = await jobs.get(old.id)
    assert row is not None
    assert (row.state, row.error) == (JobState.EXPIRED, error)
    await numbers(database)


async def test_a_dead_letter_lives_again_and_only_once(jobs: Jobs) -> None:
    await jobs.add(make_job())
    (job,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.finish(job.id, held(job), make_ending(job, JobState.FAILED))
    assert [dead.id for dead in await jobs.list_failed(10)] == [job.id]
    assert await jobs.revive(job.id, NOW)
    assert not await jobs.revive(job.id, NOW)
    (again,) = await jobs.claim(OFFER, NOW, 30)
    assert (again.id, again.attempts, again.error) == (job.id, 1, None)


async def test_a_job_is_charged_once_whatever_its_attempts(jobs: Jobs, database: Database) -> None:
    """10 s up to the checkpoint, 3 s lost in a crash, 5 s from the checkpoint to the end: 15 s."""
    await jobs.add(make_job())
    (first,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.add_checkpoint(first.id, held(first), CheckpointRef(step=20, key="k", cost_s=10.0), 2, NOW)
    await jobs.requeue(first.id, held(first), NOW)
    (second,) = await jobs.claim(OTHER, NOW, 30)
    ending = make_ending(second, cost_s=5.0, resumed_cost_s=second.checkpoints[0].cost_s)
    await jobs.finish(second.id, held(second), ending)
    for lease in (held(first), held(second)):
        with pytest.raises(LeaseLost):
            await jobs.finish(second.id, lease, ending)
    assert (await jobs.standing(first.tenant, MONTH))[1] == 15.0
    async with database.read() as connection:
        (line,) = (await connection.execute(select(ledger))).mappings()
    assert (line["job"], line["gpu_s"], line["worker"], line["steps"]) == (first.id, 15.0, "w2", 30)


async def test_a_failed_job_is_written_down_but_not_charged(jobs: Jobs) -> None:
    await jobs.add(make_job())
    (job,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.finish(job.id, held(job), make_ending(job, JobState.FAILED, cost_s=4.0))
    assert (await jobs.standing(job.tenant, MONTH))[1] == 0.0
    await jobs.revive(job.id, NOW)
    (again,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.finish(again.id, held(again), make_ending(again, cost_s=6.0))
    assert (await jobs.standing(job.tenant, MONTH))[1] == 6.0


async def test_a_cancelled_run_is_charged_what_it_took(jobs: Jobs) -> None:
    await jobs.add(make_job())
    (job,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.cancel(job.id, NOW)
    await jobs.charge_cancelled(job.id, held(job), 2.5)
    assert (await jobs.standing(job.tenant, MONTH))[1] == 2.5
    queued = make_job(tenant="eve")
    await jobs.add(queued)
    await jobs.cancel(queued.id, NOW)
    assert (await jobs.standing(TenantId("eve"), MONTH))[1] == 0.0


async def test_a_heavy_user_of_the_last_hours_goes_less_often(jobs: Jobs) -> None:
    await jobs.add(make_job(tenant="heavy"))
    (job,) = await jobs.claim(OFFER, NOW, 30)
    await jobs.finish(job.id, held(job), make_ending(job, cost_s=3600.0))
    await jobs.add(*(make_job(tenant="heavy") for _ in range(10)))
    await jobs.add(*(make_job(tenant="light") for _ in range(10)))
    served: Counter[str] = Counter()
    for _ in range(10):
        (job,) = await jobs.claim(OFFER, NOW, 30)
        served[job.tenant] += 1
        await jobs.finish(job.id, held(job), make_ending(job))
    assert served["light"] > 2 * served["heavy"] > 0
