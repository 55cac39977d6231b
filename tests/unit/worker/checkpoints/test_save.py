"""Checkpoints are saved one at a time, by the job's holder; a failure costs no picture."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from mezzotint.actions.cancel import cancel
from mezzotint.worker.checkpoints.save import save_checkpoint
from mezzotint.worker.dispatch import handle_report
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.messages import CheckpointReady
from tests.making import NOW
from tests.unit.worker.conftest import Leases

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class TakenSnapshot:
    """A snapshot of a run, as far as the worker looks at it."""

    steps: int
    error: Exception | None = None

    def encode(self) -> bytes:
        if self.error is not None:
            raise self.error
        return b"latents"


async def test_a_checkpoint_is_stored_and_its_cost_counts_from_the_first_try(leases: Leases) -> None:
    leased = await leases.lease()
    snapshot: Any = TakenSnapshot(steps=4)
    await save_checkpoint(leases.jobs, leased, snapshot, 1.5)
    (saved,) = (await leases.row(leased)).checkpoints
    assert (saved.step, saved.cost_s) == (4, 1.5)
    assert await leases.jobs.backing.objects.get(saved.key) == b"latents"
    assert leases.jobs.interval.write_s is not None
    assert leases.count("checkpoints", result="written") == 1


async def test_a_job_that_gets_further_than_where_it_lost_a_worker_is_no_suspect_any_more(leases: Leases) -> None:
    leased = await leases.lease()
    leased.job = replace(leased.job, num_losses=1, lost_step=4)
    for steps, is_suspect in ((4, True), (5, False)):
        snapshot: Any = TakenSnapshot(steps=steps)
        await save_checkpoint(leases.jobs, leased, snapshot, 1.0)
        assert leased.job.is_suspect is is_suspect


async def test_a_checkpoint_that_fails_is_counted_and_the_job_goes_on(leases: Leases) -> None:
    leased = await leases.lease()
    snapshot: Any = TakenSnapshot(steps=4, error=ValueError("no form"))
    leased.is_saving = True
    await save_checkpoint(leases.jobs, leased, snapshot, 1.0)
    assert (leased.state, leased.is_saving) == (LeaseState.RUNNING, False)
    assert leases.count("checkpoints", result="failed") == 1


async def test_a_checkpoint_after_the_lease_leaves_no_bytes(leases: Leases) -> None:
    leased = await leases.lease()
    await cancel(leases.jobs.backing, leased.job.id, NOW)
    snapshot: Any = TakenSnapshot(steps=4)
    await save_checkpoint(leases.jobs, leased, snapshot, 1.0)
    assert await leases.jobs.backing.objects.keys("checkpoints/") == []
    assert leases.count("checkpoints", result="late") == 1


async def test_a_checkpoint_is_skipped_while_the_one_before_is_written(leases: Leases) -> None:
    leased = await leases.lease()
    snapshot: Any = TakenSnapshot(steps=4)
    for _ in range(2):
        handle_report(leases.jobs, CheckpointReady(job=leased.job.id, snapshot=snapshot, cost_s=1.0))
    await leases.jobs.join_tasks()
    assert leases.count("checkpoints", result="skipped") == 1
    assert leases.count("checkpoints", result="written") == 1
