"""A claimed job is started from its newest checkpoint that is there, unless its lease was lost meanwhile."""

from dataclasses import replace

import pytest

from mezzotint.actions.checkpoint import save
from mezzotint.domain.errors import SourceMissing
from mezzotint.domain.ids import Sha256
from mezzotint.domain.task import Task
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.leased_jobs import LeasedJob
from mezzotint.worker.messages import RunEnded, Start
from mezzotint.worker.start import restart_job, start_job
from tests.making import NOW, make_job, make_parameters
from tests.unit.worker.conftest import Leases

pytestmark = pytest.mark.anyio


async def lease_with_checkpoints(leases: Leases, *steps: int) -> LeasedJob:
    leased = await leases.lease(state=LeaseState.STARTING)
    for step in steps:
        await save(leases.jobs.backing, leased.job, step, f"step {step}".encode(), NOW, cost_s=step / 10)
    leased.job = await leases.row(leased)
    return leased


async def test_a_new_job_starts_from_noise(leases: Leases) -> None:
    leased = await leases.lease(state=LeaseState.STARTING)
    await start_job(leases.jobs, leased)
    (start,) = leases.sent
    assert isinstance(start, Start)
    assert (start.job, start.resume, leased.state) == (leased.job, None, LeaseState.RUNNING)


async def test_a_job_goes_on_from_its_newest_checkpoint(leases: Leases) -> None:
    leased = await lease_with_checkpoints(leases, 3, 6)
    await start_job(leases.jobs, leased)
    (start,) = leases.sent
    assert isinstance(start, Start)
    assert start.resume == b"step 6"
    assert leased.resumed_cost_s == 0.6
    assert leases.count("resumes", source="newest") == 1


async def test_a_refused_checkpoint_is_dropped_and_the_one_before_is_used(leases: Leases) -> None:
    leased = await lease_with_checkpoints(leases, 3, 6)
    await start_job(leases.jobs, leased)
    leased.state = LeaseState.STARTING
    assert leased.resumed_from is not None
    await restart_job(leases.jobs, leased, leased.resumed_from)
    start = leases.sent[-1]
    assert isinstance(start, Start)
    assert start.resume == b"step 3"
    assert [saved.step for saved in (await leases.row(leased)).checkpoints] == [3]
    assert leases.count("resumes", source="older") == 1


async def test_a_job_whose_lease_was_lost_meanwhile_is_not_sent_to_the_device(leases: Leases) -> None:
    leased = await leases.lease(state=LeaseState.LOST)
    await start_job(leases.jobs, leased)
    assert (leases.sent, leases.jobs.by_id) == ([], {})


async def test_a_job_whose_source_was_deleted_ends(leases: Leases) -> None:
    parameters = replace(make_parameters(), task=Task.VARIATION, source=Sha256("5" * 64), strength=0.5)
    leased = await leases.lease(replace(make_job(), parameters=parameters), LeaseState.STARTING)
    await start_job(leases.jobs, leased)
    assert leases.sent == []
    ended = leases.jobs.reports.get_nowait()
    assert isinstance(ended, RunEnded)
    assert isinstance(ended.error, SourceMissing)
