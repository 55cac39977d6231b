"""Leases are renewed and steps written; lost leases cancel their runs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mezzotint.actions.cancel import cancel
from mezzotint.domain.job import JobState
from mezzotint.worker.heartbeat import Heartbeat
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.leased_jobs import LeasedJob
from mezzotint.worker.messages import Cancel
from tests.making import NOW
from tests.unit.worker.conftest import Leases

pytestmark = pytest.mark.anyio


async def test_a_new_step_is_written_and_its_lease_renewed(leases: Leases) -> None:
    leased = await leases.lease()
    leased.step, leases.now = 7, NOW + timedelta(seconds=20)
    await Heartbeat(leases.jobs).renew_leases()
    row = await leases.row(leased)
    assert row.step == 7
    assert row.lease is not None
    assert row.lease.expires_at == leases.now + timedelta(seconds=30)


async def test_without_a_new_step_leases_are_renewed_only_when_a_third_of_their_time_is_over(leases: Leases) -> None:
    leased = await leases.lease()
    heartbeat = Heartbeat(leases.jobs)
    await heartbeat.renew_leases()
    first = (await leases.row(leased)).lease
    leases.now += timedelta(seconds=5)
    await heartbeat.renew_leases()
    assert (await leases.row(leased)).lease == first
    heartbeat._renewed_at -= 11
    await heartbeat.renew_leases()
    assert (await leases.row(leased)).lease != first


async def test_a_cancelled_job_is_cancelled_on_the_device_and_frees_its_place(leases: Leases) -> None:
    cancelled, goes_on = await leases.lease(), await leases.lease()
    await cancel(leases.jobs.backing, cancelled.job.id, NOW)
    await Heartbeat(leases.jobs).renew_leases()
    assert leases.sent == [Cancel(job=cancelled.job.id)]
    assert cancelled.state is LeaseState.LOST
    assert leases.jobs.held() == [goes_on]
    assert (await leases.row(goes_on)).state is JobState.RUNNING


@pytest.mark.parametrize("state", [LeaseState.FINISHING, LeaseState.REQUEUEING, LeaseState.FAILING])
async def test_a_job_whose_run_is_over_is_forgotten_with_its_lease(leases: Leases, state: LeaseState) -> None:
    leased = await leases.lease(state=state)
    await cancel(leases.jobs.backing, leased.job.id, NOW)
    await Heartbeat(leases.jobs).renew_leases()
    assert (leases.sent, leases.jobs.by_id) == ([], {})


async def test_a_job_claimed_anew_meanwhile_keeps_its_new_lease(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await leases.lease()
    new = LeasedJob(job=old.job, lease=replace(old.lease, token=old.lease.token + 1))

    async def renew(*args: object) -> set[object]:
        leases.jobs.by_id[old.job.id] = new
        return set()

    monkeypatch.setattr(leases.jobs.backing.jobs, "renew", renew)
    await Heartbeat(leases.jobs).renew_leases()
    assert leases.jobs.by_id[old.job.id] is new
    assert (new.state, leases.sent) == (LeaseState.STARTING, [])


async def test_a_worker_with_work_counts_its_time(leases: Leases) -> None:
    heartbeat = Heartbeat(leases.jobs)
    await heartbeat.renew_leases()
    assert not leases.jobs.interval.uptime.record.is_working
    await leases.lease()
    await heartbeat.renew_leases()
    assert leases.jobs.interval.uptime.record.is_working
