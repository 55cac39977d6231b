"""What every store of jobs must do."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.ids import JobId, TenantId, WorkerId
from mezzotint.domain.job import CheckpointRef, CutTexts, Job, JobState, Lease
from mezzotint.domain.refusal import SafetyEvidence
from mezzotint.domain.safety.held_image import HeldImage, HeldState
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import RULES
from mezzotint.policy.poison import WorkerLoss
from mezzotint.policy.retry import Retry
from mezzotint.store import Database, Images, Jobs, WorkerOffer
from mezzotint.store.schema import held_images
from mezzotint.store.schema import jobs as rows
from tests.making import NOW, make_ending, make_image, make_job, make_parameters

pytestmark = pytest.mark.anyio
WORKER = WorkerId("w1")


async def claim(jobs: Jobs, worker: WorkerId = WORKER) -> Job | None:
    taken = await jobs.claim(WorkerOffer(worker=worker), NOW, 30)
    return taken[0] if taken else None


async def claimed(jobs: Jobs, job: Job) -> Lease:
    """The lease on the only queued job."""
    await jobs.add(job)
    taken = await claim(jobs)
    assert taken is not None
    assert taken.id == job.id
    assert taken.lease is not None
    return taken.lease


async def test_a_job_is_read_back_as_it_was_added(jobs: Jobs) -> None:
    found = SafetyEvidence(category="", scores={"sexual": 0.25}, policy_version="7", stage="strong", language="de")
    job = replace(make_job(parameters=make_parameters(seed=4294967295)), screening=found)
    await jobs.add(job)
    assert await jobs.get(job.id) == job


async def test_an_unknown_job_is_none(jobs: Jobs) -> None:
    assert await jobs.get(JobId("job_0")) is None


async def test_a_claim_takes_a_lease_with_a_growing_token(jobs: Jobs) -> None:
    job = make_job()
    first = await claimed(jobs, job)
    assert (first.worker, first.expires_at) == (WORKER, NOW + timedelta(seconds=30))
    assert await jobs.requeue(job.id, first, NOW)
    second = await claim(jobs)
    assert second is not None
    assert second.lease is not None
    assert second.lease.token > first.token
    assert second.attempts == 1, "a job that was given back did not fail"


async def test_an_empty_queue_gives_nothing(jobs: Jobs) -> None:
    assert await claim(jobs) is None


async def test_concurrent_claims_never_take_one_job_twice(jobs: Jobs) -> None:
    for _ in range(12):
        await jobs.add(make_job())
    taken = await asyncio.gather(*(claim(jobs, WorkerId(f"w{n}")) for n in range(16)))
    ids = [job.id for job in taken if job is not None]
    assert len(ids) == len(set(ids)) == 12


async def test_backlogged_lanes_are_served_four_two_one_after_their_head_start(jobs: Jobs) -> None:
    for tier in Tier:
        await jobs.add(*(make_job(tier=tier) for _ in range(28)))
    first = Counter([job.tier for _ in range(12) if (job := await claim(jobs)) is not None])
    assert first == {tier: number for tier, number in RULES.head_start.items() if number}
    served = Counter([job.tier for _ in range(28) if (job := await claim(jobs)) is not None])
    assert served == {Tier.PRO: 16, Tier.PAID: 8, Tier.FREE: 4}


async def test_a_lane_is_first_come_first_served(jobs: Jobs) -> None:
    first, second = make_job(), make_job()
    await jobs.add(first)
    await jobs.add(second)
    taken = [await claim(jobs), await claim(jobs)]
    assert [job.id for job in taken if job] == [first.id, second.id]


async def test_a_fenced_off_holder_cannot_end_renew_or_save(jobs: Jobs) -> None:
    job = make_job()
    late = await claimed(jobs, job)
    await jobs.requeue(job.id, late, NOW)
    await claim(jobs, WorkerId("w2"))
    with pytest.raises(LeaseLost):
        await jobs.finish(job.id, late, make_ending(job))
    with pytest.raises(LeaseLost):
        await jobs.add_checkpoint(job.id, late, CheckpointRef(step=10, key="k"), 2, NOW)
    assert await jobs.renew({job.id: late}, {}, NOW) == set()
    assert not await jobs.requeue(job.id, late, NOW)
    row = await jobs.get(job.id)
    assert row is not None
    assert row.state is JobState.RUNNING
    assert row.checkpoints == ()


async def test_a_job_ends_once_with_its_pictures(jobs: Jobs, images: Images) -> None:
    job = make_job()
    lease = await claimed(jobs, job)
    picture = make_image(job)
    ended = await jobs.finish(job.id, lease, make_ending(job, images=(picture,)))
    assert (ended.state, ended.images, ended.lease) == (JobState.SUCCEEDED, (picture,), None)
    with pytest.raises(LeaseLost):
        await jobs.finish(job.id, lease, make_ending(job, images=(picture,)))
    assert [entry.image for entry in await images.of_tenant(job.tenant, 10, None)] == [picture]


async def test_the_last_two_checkpoints_are_kept_and_newest_first(jobs: Jobs) -> None:
    job = make_job()
    lease = await claimed(jobs, job)
    gone = [await jobs.add_checkpoint(job.id, lease, CheckpointRef(step=n, key=f"k{n}"), 2, NOW) for n in (10, 20, 30)]
    assert gone == [[], [], ["k10"]]
    row = await jobs.get(job.id)
    assert row is not None
    assert [saved.step for saved in row.checkpoints] == [30, 20]


async def test_only_open_jobs_keep_checkpoints_after_a_sweep(jobs: Jobs) -> None:
    ended, running = make_job(), make_job()
    for job in (ended, running):
        await jobs.add_checkpoint(job.id, await claimed(jobs, job), CheckpointRef(step=10, key=f"k-{job.id}"), 2, NOW)
    await jobs.cancel(ended.id, NOW)
    assert await jobs.open_checkpoint_keys() == {f"k-{running.id}"}
    await jobs.drop_checkpoints_of_ended()
    assert await jobs.checkpoint_keys(ended.id) == []
    assert await jobs.checkpoint_keys(running.id) == [f"k-{running.id}"]


async def test_a_checkpoint_clears_the_count_of_attempts(jobs: Jobs) -> None:
    job = make_job()
    lease = await claimed(jobs, job)
    await jobs.add_checkpoint(job.id, lease, CheckpointRef(step=10, key="k"), 2, NOW)
    row = await jobs.get(job.id)
    assert row is not None
    assert row.attempts == 0


async def test_renewing_extends_the_lease_and_writes_the_step(jobs: Jobs) -> None:
    job = make_job()
    lease = await claimed(jobs, job)
    later = NOW + timedelta(seconds=90)
    assert await jobs.renew({job.id: lease}, {job.id: 12}, later) == {job.id}
    row = await jobs.get(job.id)
    assert row is not None
    assert row.lease is not None
    assert (row.lease.expires_at, row.step) == (later, 12)


async def test_only_expired_leases_are_found_lost(jobs: Jobs) -> None:
    job = make_job()
    await claimed(jobs, job)
    assert await jobs.running(expired_at=NOW + timedelta(seconds=29)) == []
    assert [lost.id for lost in await jobs.running(expired_at=NOW + timedelta(seconds=31))] == [job.id]
    assert [mine.id for mine in await jobs.running(worker=WORKER)] == [job.id]
    assert await jobs.running(worker=WorkerId("other")) == []


async def test_cancelling_ends_open_jobs_and_leaves_ended_ones(jobs: Jobs) -> None:
    queued, running, ended = make_job(), make_job(), make_job()
    lease = await claimed(jobs, ended)
    await jobs.finish(ended.id, lease, make_ending(ended))
    late = await claimed(jobs, running)
    await jobs.add(queued)
    assert [await jobs.cancel(job.id, NOW) for job in (queued, running, ended)] == [True, True, False]
    with pytest.raises(LeaseLost):
        await jobs.finish(running.id, late, make_ending(running))


async def test_pages_of_jobs_hold_only_the_tenants_own_newest_first(jobs: Jobs) -> None:
    mine = [make_job(tenant="ada") for _ in range(3)]
    for job in (mine[0], make_job(tenant="eve"), *mine[1:]):
        await jobs.add(job)
    page = await jobs.of_tenant(TenantId("ada"), 2, None)
    assert [job.id for _, job in page] == [mine[2].id, mine[1].id]
    rest = await jobs.of_tenant(TenantId("ada"), 2, page[-1][0])
    assert [job.id for _, job in rest] == [mine[0].id]


async def test_position_counts_the_queued_ahead_in_the_same_lane(jobs: Jobs) -> None:
    first, other_lane, mine = make_job(), make_job(tier=Tier.PRO), make_job()
    for job in (first, other_lane, mine):
        await jobs.add(job)
    assert await jobs.position(mine) == 1
    assert (await jobs.standing(TenantId("ada"), "2026-01"))[0] == 3


async def test_a_published_picture_is_found_by_either_hash(jobs: Jobs, images: Images) -> None:
    job = make_job()
    lease = await claimed(jobs, job)
    picture = make_image(job)
    assert await images.published_at(picture.png) is None
    await jobs.finish(job.id, lease, make_ending(job, images=(picture,)))
    assert await images.published_at(picture.png) == picture.created_at
    assert await images.published_at(picture.webp) == picture.created_at


LOST = Retry(not_before=NOW, avoid=None, avoid_until=NOW, is_suspect=True)
SUSPECTS = WorkerOffer(worker=WORKER, suspects=True)


async def lost(jobs: Jobs, job: Job, step: int = 0) -> None:
    """A job whose worker ended at a step."""
    lease = await claimed(jobs, job)
    await jobs.renew({job.id: lease}, {job.id: step}, NOW)
    assert await jobs.requeue(job.id, lease, NOW, retry=LOST)


async def test_a_job_that_lost_its_worker_is_claimed_only_by_who_wants_suspects(jobs: Jobs) -> None:
    suspect, other = make_job(), make_job()
    assert not await jobs.is_suspect_waiting(SUSPECTS, NOW)
    await lost(jobs, suspect)
    await jobs.add(other)
    taken = await jobs.claim(WorkerOffer(worker=WORKER), NOW, 30, 5)
    assert [job.id for job in taken] == [other.id]
    assert await jobs.is_suspect_waiting(SUSPECTS, NOW)
    assert not await jobs.is_suspect_waiting(WorkerOffer(worker=WORKER, models=frozenset({"another"})), NOW)
    (alone,) = await jobs.claim(SUSPECTS, NOW, 30, 5)
    assert (alone.id, alone.num_losses, alone.is_suspect) == (suspect.id, 1, True)
    assert not await jobs.is_suspect_waiting(SUSPECTS, NOW)


async def test_no_run_makes_room_for_a_suspect(jobs: Jobs) -> None:
    await lost(jobs, make_job(tier=Tier.PRO))
    assert not await jobs.is_waiting(Tier.PRO, None)


async def test_a_checkpoint_beyond_where_the_worker_ended_clears_a_job_of_suspicion(jobs: Jobs) -> None:
    job = make_job()
    await lost(jobs, job, step=12)
    (again,) = await jobs.claim(SUSPECTS, NOW, 30)
    assert again.lease is not None
    assert again.lost_step == 12
    for step, num_losses in ((10, 1), (12, 1), (13, 0)):
        await jobs.add_checkpoint(job.id, again.lease, CheckpointRef(step=step, key=f"k{step}"), 2, NOW)
        row = await jobs.get(job.id)
        assert row is not None
        assert row.num_losses == num_losses


async def test_a_worker_that_lives_clears_its_jobs_of_suspicion_until_they_are_claimed_again(jobs: Jobs) -> None:
    job = make_job()
    lease = await claimed(jobs, job)
    assert await jobs.requeue(job.id, lease, NOW, retry=LOST)
    await jobs.clear_suspicion(job.id, lease)
    again = await claim(jobs)
    assert again is not None
    assert again.lease is not None
    assert await jobs.requeue(job.id, again.lease, NOW, retry=LOST)
    await jobs.clear_suspicion(job.id, lease)
    assert await jobs.is_suspect_waiting(SUSPECTS, NOW)


async def test_ends_of_workers_that_did_not_run_a_job_are_counted(jobs: Jobs) -> None:
    mine, other = make_job(), make_job()
    lost_now = WorkerLoss(worker=WorkerId("w2"), job=mine.id, at=NOW)
    elsewhere = WorkerLoss(worker=WorkerId("w3"), job=other.id, at=NOW)
    for job in (mine, other):
        await jobs.losses.record(WorkerLoss(worker=WorkerId("w1"), job=job.id, at=NOW))
    assert await jobs.losses.count_other_ends(lost_now) == 0
    await jobs.losses.record(elsewhere)
    assert await jobs.losses.count_other_ends(lost_now) == 1
    await jobs.clear_suspicion(other.id, Lease(worker=WorkerId("w3"), token=1, expires_at=NOW))  # it lives
    assert await jobs.losses.count_other_ends(lost_now) == 0
    await jobs.losses.record(elsewhere)
    assert await jobs.losses.count_other_ends(replace(lost_now, at=NOW + timedelta(minutes=11))) == 0


async def test_a_dead_letter_that_is_retried_is_no_suspect(jobs: Jobs) -> None:
    job = make_job()
    await lost(jobs, job)
    (again,) = await jobs.claim(SUSPECTS, NOW, 30)
    assert again.lease is not None
    await jobs.finish(job.id, again.lease, make_ending(job, JobState.FAILED))
    assert await jobs.revive(job.id, NOW)
    retried = await claim(jobs)
    assert retried is not None
    assert retried.num_losses == 0


@pytest.mark.parametrize("parameters", [{"prompt": "of another version", "angle": 7}, [], {"task": "sculpt"}])
async def test_a_job_that_cannot_be_read_ends_alone_when_it_is_claimed(jobs: Jobs, parameters: object) -> None:
    damaged, sound = make_job(), make_job()
    await jobs.add(damaged, sound)
    async with jobs._database.write() as connection:
        await connection.execute(update(rows).where(rows.c.id == damaged.id).values(parameters=parameters))
    shapes = frozenset({("a model", 64, 64)})
    taken = await jobs.claim(WorkerOffer(worker=WORKER, shapes=shapes), NOW, 30, 2)
    assert [job.id for job in taken] == [sound.id]
    async with jobs._database.read() as connection:
        state, error = (
            await connection.execute(select(rows.c.state, rows.c.error).where(rows.c.id == damaged.id))
        ).one()
    assert (state, error["code"]) == (JobState.FAILED, "job_unreadable")
    assert await jobs.claim(WorkerOffer(worker=WORKER), NOW, 30, 2) == []


async def test_what_was_read_of_cut_texts_is_kept_with_the_end(jobs: Jobs) -> None:
    job = make_job()
    lease = await claimed(jobs, job)
    read = CutTexts(prompt="a red")
    await jobs.finish(job.id, lease, replace(make_ending(job), cut_texts=read))
    ended = await jobs.get(job.id)
    assert ended is not None
    assert (job.cut_texts, ended.cut_texts) == (CutTexts(), read)


async def test_verdicts_and_scores_are_kept_with_pictures_and_with_those_that_are_not_delivered(
    jobs: Jobs, database: Database
) -> None:
    scores = {"graphic": {"violence": 0.9125, "sexual": None}}
    shown, withheld = make_job(), make_job()
    picture = replace(make_image(shown), verdict="blur", scores=scores, filter_version="v1+ab")
    held = HeldImage(
        job=withheld.id,
        position=0,
        state=HeldState.BLOCKED,
        category="violence",
        scores=scores,
        filter_version="v1+ab",
        seed=7,
        width=64,
        height=64,
        created_at=NOW,
    )
    for job, ending in (
        (shown, make_ending(shown, images=(picture,))),
        (withheld, replace(make_ending(withheld, JobState.BLOCKED), held=(held,))),
    ):
        await jobs.finish(job.id, await claimed(jobs, job), ending)
    found = await jobs.get(shown.id)
    assert found is not None
    assert found.images == (picture,)
    async with database.read() as connection:
        (row,) = (await connection.execute(select(held_images))).mappings().all()
    assert {name: row[name] for name in ("job", "tenant", "state", "category", "scores", "key")} == {
        "job": withheld.id,
        "tenant": withheld.tenant,
        "state": "blocked",
        "category": "violence",
        "scores": scores,
        "key": None,
    }
