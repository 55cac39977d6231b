"""Ends of leased jobs are written once, by their holder: pictures, failures, returns to the queue."""

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image as Pixels

from mezzotint.actions.cancel import cancel
from mezzotint.domain.errors import NotFinite, StorageUnavailable
from mezzotint.domain.job import CheckpointRef, JobState
from mezzotint.safety.image.perceptual_hash import HashIndex, hash_picture
from mezzotint.safety.image.postfilter import PostFilter
from mezzotint.safety.policy_file import load_policy
from mezzotint.worker import leased_jobs
from mezzotint.worker.dispatch import give_all_back, handle_report
from mezzotint.worker.finish import fail_job, finish_job, requeue_preempted_job, settle_lost_job
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.leased_jobs import LeasedJob
from mezzotint.worker.messages import PreemptReason, RunEnded, RunPreempted, TaskFailed
from tests.making import NOW
from tests.making_takedowns import draw_pixels
from tests.unit.worker.checkpoints.test_save import TakenSnapshot
from tests.unit.worker.conftest import Leases

pytestmark = pytest.mark.anyio


def end_run(leased: LeasedJob, **more: Any) -> RunEnded:
    return RunEnded(job=leased.job.id, step=30, pictures=(Pixels.new("RGB", (64, 64)),), cost_s=2.0, **more)


async def test_pictures_end_their_job_and_its_place_is_free(leases: Leases) -> None:
    leased = await leases.lease(state=LeaseState.FINISHING)
    leases.jobs.backing.bus.work.clear()
    await finish_job(leases.jobs, leased, end_run(leased, begun_at=leased.claimed_at + 1))
    row = await leases.row(leased)
    assert (row.state, len(row.images), row.timings.load_s) == (JobState.SUCCEEDED, 1, 1)
    assert leases.jobs.by_id == {}
    assert leases.jobs.backing.bus.work.is_set()
    assert leases.jobs.pace_s == pytest.approx(2.0 / leased.job.parameters.cost), "2 GPU-seconds for all its steps"


async def test_a_picture_drawn_again_is_blocked_as_soon_as_it_is_taken_down(leases: Leases) -> None:
    image_filter = PostFilter([], load_policy(None))
    taken = draw_pixels(0)

    async def refresh() -> None:
        found = hash_picture(taken)
        image_filter.blocked_pictures = HashIndex([(found.pdq, found)])

    leases.jobs.image_filter, leases.jobs.refresh_blocklist = image_filter, refresh
    leased, other = await leases.lease(state=LeaseState.FINISHING), await leases.lease(state=LeaseState.FINISHING)
    await finish_job(leases.jobs, leased, replace(end_run(leased), pictures=(taken.resize((96, 96)),)))
    await finish_job(leases.jobs, other, replace(end_run(other), pictures=(draw_pixels(1),)))
    assert [(await leases.row(one)).state for one in (leased, other)] == [JobState.BLOCKED, JobState.SUCCEEDED]


async def test_a_result_after_the_lease_is_not_written(leases: Leases) -> None:
    leased = await leases.lease(state=LeaseState.FINISHING)
    await cancel(leases.jobs.backing, leased.job.id, NOW)
    await finish_job(leases.jobs, leased, end_run(leased))
    assert (await leases.row(leased)).state is JobState.CANCELLED
    assert leases.jobs.by_id == {}


async def test_a_failure_is_retried_later_and_fails_for_good_after_the_last_try(leases: Leases) -> None:
    leases.jobs.settings = replace(leases.jobs.settings, max_attempts=2)
    leased = await leases.lease(state=LeaseState.FAILING)
    await fail_job(leases.jobs, leased, StorageUnavailable("away"), 1.0)
    row = await leases.row(leased)
    assert row.state is JobState.QUEUED
    assert row.due_at is not None
    assert row.due_at > NOW
    leases.jobs.settings = replace(leases.jobs.settings, max_attempts=1)
    other = await leases.lease(state=LeaseState.FAILING)
    await fail_job(leases.jobs, other, NotFinite("at step 3"), 1.0)
    failed = await leases.row(other)
    assert failed.error is not None
    assert (failed.state, failed.error.code) == (JobState.FAILED, "not_finite")
    assert leases.jobs.by_id == {}


async def test_a_preempted_run_is_saved_before_its_lease_is_given_back(leases: Leases) -> None:
    leased = await leases.lease(state=LeaseState.REQUEUEING)
    snapshot: Any = TakenSnapshot(steps=4)
    report = RunPreempted(job=leased.job.id, snapshot=snapshot, cost_s=1.0, why=PreemptReason.PREEMPTED)
    await requeue_preempted_job(leases.jobs, leased, report)
    row = await leases.row(leased)
    assert (row.state, row.lease, [saved.step for saved in row.checkpoints]) == (JobState.QUEUED, None, [4])
    assert leases.jobs.keeps_for_pro
    assert leases.count("jobs_requeued", reason="preempted") == 1


async def test_a_cancelled_job_pays_for_the_steps_that_were_drawn(leases: Leases) -> None:
    leased = await leases.lease(state=LeaseState.LOST)
    leased.resumed_from = CheckpointRef(step=3, key="k", cost_s=0.5)
    await cancel(leases.jobs.backing, leased.job.id, NOW)
    before = (await leases.row(leased)).cost_s
    await settle_lost_job(leases.jobs, leased, 2.0)
    assert (await leases.row(leased)).cost_s - before == pytest.approx(2.5)


async def test_an_end_that_the_store_refuses_is_replaced_by_a_failure(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    leased = await leases.lease(state=LeaseState.RUNNING)
    given = leases.jobs.backing.jobs.finish

    async def finish(job: Any, lease: Any, ending: Any) -> Any:
        if ending.images:
            raise ValueError("unexpected")
        return await given(job, lease, ending)

    monkeypatch.setattr(leases.jobs.backing.jobs, "finish", finish)
    handle_report(leases.jobs, end_run(leased))
    await leases.jobs.join_tasks()
    failed = leases.jobs.reports.get_nowait()
    assert isinstance(failed, TaskFailed)
    assert leased.state is LeaseState.FINISHING
    handle_report(leases.jobs, failed)
    await leases.jobs.join_tasks()
    assert (await leases.row(leased)).state is JobState.FAILED
    assert leases.jobs.by_id == {}


async def test_an_end_that_is_never_written_leaves_the_lease_to_end_by_itself(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    leased = await leases.lease(state=LeaseState.FINISHING)

    async def finish(*args: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(leases.jobs.backing.jobs, "finish", finish)
    monkeypatch.setattr(leased_jobs, "STORE_WAIT_S", 0.0)
    await finish_job(leases.jobs, leased, end_run(leased))
    assert (await leases.row(leased)).state is JobState.RUNNING
    assert leases.jobs.by_id == {}


async def test_a_worker_that_stops_gives_back_all_that_it_holds(leases: Leases) -> None:
    held = [await leases.lease(state=state) for state in (LeaseState.STARTING, LeaseState.RUNNING)]
    lost = await leases.lease(state=LeaseState.LOST)
    give_all_back(leases.jobs, PreemptReason.DRAIN)
    await leases.jobs.join_tasks()
    assert [(await leases.row(leased)).state for leased in held] == [JobState.QUEUED] * 2
    assert list(leases.jobs.by_id) == [lost.job.id]
