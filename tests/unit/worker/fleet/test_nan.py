"""A worker whose runs end with NaN reports it, is judged, puts its runs aside and ends: all within a minute."""

from datetime import timedelta

import pytest

from mezzotint.actions.judge_workers import judge_workers
from mezzotint.actions.maintain import JUDGE_S
from mezzotint.domain.errors import NotFinite
from mezzotint.domain.job import JobState
from mezzotint.store import Devices, Workers
from mezzotint.worker.claim_loop import ClaimLoop
from mezzotint.worker.dispatch import handle_report
from mezzotint.worker.drain import LOOK_S, SEEN_S, Drain
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.messages import Preempt, PreemptReason, RunEnded
from tests.making import NOW, make_job
from tests.unit.worker.conftest import ME, Leases

pytestmark = pytest.mark.anyio


async def test_a_worker_that_draws_nan_is_drained_within_a_minute(leases: Leases) -> None:
    workers, devices, jobs = Workers(leases.database), Devices(leases.database), leases.jobs
    ended = list[str]()
    drain = Drain(workers, ME, lambda: leases.now, on_end=lambda: ended.append("end"))
    jobs.health = drain.health
    claims = ClaimLoop(jobs, drain, lambda: "host/GPU-1")
    await claims.claim_or_drain()
    assert drain.device == "host/GPU-1"
    for _ in range(98):
        jobs.health.record_end(None)
    for _ in range(2):
        leased = await leases.lease(make_job())
        handle_report(jobs, RunEnded(job=leased.job.id, step=7, error=NotFinite("step 7")))
        await jobs.join_tasks()
        assert (await leases.row(leased)).state is JobState.FAILED
    going = await leases.lease(make_job())

    leases.now = NOW + timedelta(seconds=SEEN_S)
    drain._seen_at = None
    await claims.claim_or_drain()
    leases.now += timedelta(seconds=JUDGE_S)
    await judge_workers(workers, devices, jobs.backing.metrics, leases.now)
    leases.now += timedelta(seconds=LOOK_S)
    drain._looked_at = None
    await claims.claim_or_drain()
    assert leases.now - NOW < timedelta(minutes=1)
    assert leases.sent == [Preempt(job=going.job.id, why=PreemptReason.DRAIN)]
    assert going.state is LeaseState.PREEMPTING
    jobs.by_id.clear()
    await claims.claim_or_drain()
    assert ended == ["end"]

    again = Drain(workers, ME, lambda: leases.now)
    waiting = make_job()
    await workers.drain(ME, leases.now, is_drained=False)  # as a new process under a new name has no wish of its own
    await jobs.backing.jobs.add(waiting)
    await ClaimLoop(jobs, again, lambda: "host/GPU-1").claim_or_drain()
    assert again.is_drained, "the device rests, whoever starts on it"
    await ClaimLoop(jobs, Drain(workers, ME, lambda: leases.now), lambda: "host/GPU-2").claim_or_drain()
    assert list(jobs.by_id) == [waiting.id]
