"""Reports of the device reach the function that the job's state asks for."""

import asyncio
from typing import Any

import numpy as np
import pytest

from mezzotint.actions.cancel import cancel
from mezzotint.actions.checkpoint import save
from mezzotint.domain.errors import CheckpointCorrupt, StorageUnavailable
from mezzotint.domain.event import Progressed
from mezzotint.domain.job import JobState
from mezzotint.engine.errors import RunCancelled
from mezzotint.worker.dispatch import handle_report
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.messages import Cancel, PreemptReason, RunEnded, RunPreempted, Start, StepDone, TaskFailed
from mezzotint.worker.start import start_job
from tests.making import NOW, make_job
from tests.unit.worker.conftest import Leases

pytestmark = pytest.mark.anyio


async def test_a_report_about_a_forgotten_job_is_dropped(leases: Leases) -> None:
    job = make_job().id
    handle_report(leases.jobs, RunEnded(job=job, step=3))
    handle_report(leases.jobs, TaskFailed(job=job, error=ValueError()))
    await leases.jobs.join_tasks()
    assert leases.sent == []


async def test_a_step_is_published_with_its_preview(leases: Leases) -> None:
    leased = await leases.lease()
    picture: Any = np.zeros((64, 64, 3), np.uint8)
    with leases.jobs.backing.bus.watch(leased.job.id) as events:
        handle_report(leases.jobs, StepDone(job=leased.job.id, step=2, num_steps=30, preview=None))
        handle_report(leases.jobs, StepDone(job=leased.job.id, step=3, num_steps=30, preview=picture))
        await leases.jobs.join_tasks()
        seen = [await asyncio.wait_for(events.get(), 10) for _ in range(2)]
    told = [(event.step, event.preview is not None) for event in seen if isinstance(event, Progressed)]
    assert told == [(2, False), (3, True)]
    assert (leased.step, leased.is_previewing) == (3, False)


async def test_a_checkpoint_that_the_engine_refuses_restarts_the_job(leases: Leases) -> None:
    leased = await leases.lease(state=LeaseState.STARTING)
    await save(leases.jobs.backing, leased.job, 3, b"damaged", NOW)
    leased.job = await leases.row(leased)
    await start_job(leases.jobs, leased)
    handle_report(leases.jobs, RunEnded(job=leased.job.id, step=0, error=CheckpointCorrupt("sum")))
    await leases.jobs.join_tasks()
    again = leases.sent[-1]
    assert isinstance(again, Start)
    assert (len(leases.sent), again.resume, leased.state) == (2, None, LeaseState.RUNNING)
    assert leases.count("checkpoints_unusable", why="corrupt") == 1


async def test_the_end_of_an_earlier_leases_run_does_not_end_the_job(leases: Leases) -> None:
    leased = await leases.lease()
    handle_report(leases.jobs, RunEnded(job=leased.job.id, step=3, error=RunCancelled()))
    await leases.jobs.join_tasks()
    assert leased.state is LeaseState.RUNNING
    assert (await leases.row(leased)).state is JobState.RUNNING


@pytest.mark.parametrize("error", [RunCancelled(), None])
async def test_a_lost_job_is_charged_and_forgotten_when_its_run_ends(
    leases: Leases, error: BaseException | None
) -> None:
    leased = await leases.lease(state=LeaseState.LOST)
    await cancel(leases.jobs.backing, leased.job.id, NOW)
    handle_report(leases.jobs, RunEnded(job=leased.job.id, step=3, error=error, cost_s=2.0))
    await leases.jobs.join_tasks()
    assert leases.jobs.by_id == {}
    assert (await leases.row(leased)).cost_s == pytest.approx(2.0)


async def test_a_task_that_fails_cancels_the_run_and_fails_the_job(leases: Leases) -> None:
    leased = await leases.lease()
    handle_report(leases.jobs, TaskFailed(job=leased.job.id, error=ValueError("unexpected")))
    assert leased.state is LeaseState.FAILING
    await leases.jobs.join_tasks()
    row = await leases.row(leased)
    assert row.error is not None
    assert (row.state, row.error.code) == (JobState.FAILED, "run_failed")
    assert leases.sent == [Cancel(job=leased.job.id)]


async def test_a_job_whose_failure_cannot_be_written_either_is_forgotten(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def finish(*args: object) -> None:
        raise ValueError("unexpected")

    monkeypatch.setattr(leases.jobs.backing.jobs, "finish", finish)
    leased = await leases.lease()
    handle_report(leases.jobs, TaskFailed(job=leased.job.id, error=StorageUnavailable("away")))
    await leases.jobs.join_tasks()
    handle_report(leases.jobs, leases.jobs.reports.get_nowait())  # type: ignore[arg-type]
    assert leases.jobs.by_id == {}
    assert (await leases.row(leased)).state is JobState.RUNNING, "its lease ends by itself"


async def test_a_run_that_the_device_put_aside_is_given_back(leases: Leases) -> None:
    leased = await leases.lease()
    report = RunPreempted(job=leased.job.id, snapshot=None, cost_s=1.0, why=PreemptReason.MEMORY)
    handle_report(leases.jobs, report)
    assert leased.state is LeaseState.REQUEUEING
    await leases.jobs.join_tasks()
    assert (await leases.row(leased)).state is JobState.QUEUED
    assert not leases.jobs.keeps_for_pro
