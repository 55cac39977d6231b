"""Jobs are claimed while there is room; runs are preempted for Pro jobs and for a drain."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from mezzotint.actions.region_routing import RegionRouting
from mezzotint.actions.requeue import requeue_lost
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.store import FleetRows, Regions, WorkerHeartbeat, WorkerLabels, WorkerOffer, Workers, WorkerState
from mezzotint.worker.claim_loop import ClaimLoop
from mezzotint.worker.drain import MAX_DRAIN_S, Drain
from mezzotint.worker.job_states import JobMessage, LeaseState
from mezzotint.worker.messages import Preempt, PreemptReason, Start
from tests.making import NOW, make_job, make_parameters
from tests.unit.worker.conftest import ME, Leases

pytestmark = pytest.mark.anyio


async def test_as_many_jobs_are_claimed_as_there_are_places_and_each_is_started(leases: Leases) -> None:
    await leases.jobs.backing.jobs.add(*(make_job() for _ in range(3)))
    await ClaimLoop(leases.jobs, None).claim_or_drain()
    await leases.jobs.join_tasks()
    assert [leased.state for leased in leases.jobs.held()] == [LeaseState.RUNNING] * 2
    assert {command.job.id for command in leases.sent if isinstance(command, Start)} == set(leases.jobs.by_id)


async def test_nothing_is_claimed_before_the_models_are_ready(leases: Leases) -> None:
    leases.jobs.is_ready = False
    await leases.jobs.backing.jobs.add(make_job())
    await ClaimLoop(leases.jobs, None).claim_or_drain()
    assert leases.jobs.by_id == {}


async def test_a_suspect_waits_until_the_worker_is_empty_and_then_shuts_it(leases: Leases) -> None:
    suspect = make_job()
    await leases.jobs.backing.jobs.add(suspect)
    lost = await leases.jobs.backing.jobs.claim(WorkerOffer(worker=WorkerId("dead")), NOW, 0, 1)
    await requeue_lost(leases.jobs.backing, lost, 5, NOW)
    first = await leases.lease(make_job())
    leases.now = NOW.replace(hour=5)  # the suspect's next try is due
    await leases.jobs.backing.jobs.come_due(leases.now)
    await leases.jobs.backing.jobs.add(make_job())
    await ClaimLoop(leases.jobs, None).claim_or_drain()
    assert leases.jobs.held() == [first]
    del leases.jobs.by_id[first.job.id]
    await ClaimLoop(leases.jobs, None).claim_or_drain()
    assert list(leases.jobs.by_id) == [suspect.id]


async def test_a_run_makes_room_for_a_pro_job_that_waits_and_only_one_at_a_time(leases: Leases) -> None:
    for _ in range(2):
        (await leases.lease(make_job())).claimed_at = time.monotonic() - 60
    await leases.jobs.backing.jobs.add(make_job(tenant="grace", tier=Tier.PRO))
    claims = ClaimLoop(leases.jobs, None)
    await claims.claim_or_drain()
    await claims.claim_or_drain()
    (preempt,) = leases.sent
    assert isinstance(preempt, Preempt)
    assert preempt.why is PreemptReason.PREEMPTED
    assert leases.jobs.by_id[preempt.job].state is LeaseState.PREEMPTING


@pytest.mark.parametrize("state", [LeaseState.PREEMPTING, LeaseState.REQUEUEING, LeaseState.FINISHING])
async def test_no_run_is_preempted_while_another_place_becomes_free(leases: Leases, state: LeaseState) -> None:
    for one in (LeaseState.RUNNING, state):
        (await leases.lease(make_job(), one)).claimed_at = time.monotonic() - 60
    await leases.jobs.backing.jobs.add(make_job(tenant="grace", tier=Tier.PRO))
    await ClaimLoop(leases.jobs, None).claim_or_drain()
    assert leases.sent == []


async def test_a_place_that_was_made_for_pro_goes_to_pro(leases: Leases) -> None:
    free, pro = make_job(), make_job(tenant="grace", tier=Tier.PRO)
    await leases.jobs.backing.jobs.add(free, pro)
    await leases.lease(make_job(tenant="grace", tier=Tier.PRO))
    leases.jobs.keeps_for_pro = True
    await ClaimLoop(leases.jobs, None).claim_or_drain()
    assert free.id not in leases.jobs.by_id
    assert not leases.jobs.keeps_for_pro


async def test_a_drained_worker_puts_its_runs_aside_once_and_claims_no_more(leases: Leases) -> None:
    running = await leases.lease()
    starting = await leases.lease(state=LeaseState.STARTING)
    workers = Workers(leases.database)
    await workers.record_heartbeat(ME, NOW)
    await workers.drain(ME, NOW, is_drained=True)
    waiting = make_job()
    await leases.jobs.backing.jobs.add(waiting)
    claims = ClaimLoop(leases.jobs, Drain(workers, ME, lambda: NOW))
    await claims.claim_or_drain()
    await claims.claim_or_drain()
    assert leases.sent == [Preempt(job=running.job.id, why=PreemptReason.DRAIN)]
    assert starting.state is LeaseState.STARTING, "put aside when the device has it"
    assert waiting.id not in leases.jobs.by_id


async def test_a_worker_that_is_to_end_hands_its_runs_back_and_then_ends_once(leases: Leases) -> None:
    running, ended = await leases.lease(), list[str]()
    workers, labels = Workers(leases.database), WorkerLabels(pool="spot")
    drain = Drain(workers, ME, lambda: leases.now, labels, lambda: ended.append("end"))
    claims = ClaimLoop(leases.jobs, drain)
    await claims.claim_or_drain()
    assert await workers.want_end(ME, NOW, "its pool wants fewer")
    drain._looked_at = None
    await claims.claim_or_drain()
    (status,) = await workers.all(NOW)
    assert (status.state, status.drain_reason, ended) == (WorkerState.DRAINING, "its pool wants fewer", [])
    leases.jobs.receive(running, JobMessage.RUN_PREEMPTED)
    leases.jobs.receive(running, JobMessage.WRITTEN)
    for _ in range(2):
        await claims.claim_or_drain()
    (status,) = await workers.all(NOW)
    assert (status.state, status.labels.pool, ended) == (WorkerState.DRAINED, "spot", ["end"])


async def test_a_run_that_cannot_be_put_aside_holds_up_the_end_for_a_minute_at_most(leases: Leases) -> None:
    await leases.lease()
    ended = list[str]()
    workers = Workers(leases.database)
    drain = Drain(workers, ME, lambda: NOW, on_end=lambda: ended.append("end"))
    await drain.is_wanted()
    await workers.want_end(ME, NOW, "why")
    drain._looked_at = None
    claims = ClaimLoop(leases.jobs, drain)
    await claims.claim_or_drain()
    assert ended == []
    assert drain._wanted_at is not None
    drain._wanted_at -= MAX_DRAIN_S + 1
    await claims.claim_or_drain()
    assert ended == ["end"]


async def test_a_drained_worker_takes_jobs_again_when_the_wish_is_taken_back(leases: Leases) -> None:
    workers = Workers(leases.database)
    drain = Drain(workers, ME, lambda: NOW)
    claims = ClaimLoop(leases.jobs, drain)
    await claims.claim_or_drain()
    await workers.want_end(ME, NOW, "why")
    drain._looked_at = None
    await claims.claim_or_drain()
    await leases.jobs.backing.jobs.add(make_job())
    await workers.drain(ME, NOW, is_drained=False)
    drain._looked_at = None
    await claims.claim_or_drain()
    assert len(leases.jobs.by_id) == 1
    assert [status.state for status in await workers.all(NOW)] == [WorkerState.ACTIVE]


async def test_a_worker_with_limits_takes_jobs_of_its_lanes_and_tenants_alone(leases: Leases) -> None:
    mine = make_job(tenant="acme", tier=Tier.PRO)
    await leases.jobs.backing.jobs.add(make_job(tenant="acme"))
    await leases.jobs.backing.jobs.add(make_job(tenant="ada", tier=Tier.PRO))
    await leases.jobs.backing.jobs.add(mine)
    limits = {"lanes": frozenset({Tier.PRO}), "tenants": frozenset({TenantId("acme")})}
    leases.jobs.settings = replace(leases.jobs.settings, **limits)
    await ClaimLoop(leases.jobs, None).claim_or_drain()
    assert list(leases.jobs.by_id) == [mine.id]


async def test_no_run_makes_room_for_a_job_that_the_worker_may_not_take(leases: Leases) -> None:
    for _ in range(2):
        (await leases.lease(make_job())).claimed_at = time.monotonic() - 60
    await leases.jobs.backing.jobs.add(make_job(tenant="grace", tier=Tier.PRO))
    for limits in ({"lanes": frozenset({Tier.FREE})}, {"tenants": frozenset({TenantId("ada")})}):
        given, leases.jobs.settings = leases.jobs.settings, replace(leases.jobs.settings, **limits)
        await ClaimLoop(leases.jobs, None).claim_or_drain()
        leases.jobs.settings = given
    assert leases.sent == []


@pytest.mark.parametrize(("light_first", "pace_s", "first"), [(True, 50.0, 4), (True, None, 30), (False, 50.0, 30)])
async def test_a_light_job_goes_first_where_that_is_wanted_and_the_devices_pace_is_known(
    leases: Leases, light_first: bool, pace_s: float | None, first: int
) -> None:
    leases.jobs.settings = replace(leases.jobs.settings, light_first=light_first, max_runs=1)
    leases.jobs.pace_s = pace_s
    for tenant, num_steps in (("ada", 30), ("bob", 4)):
        await leases.jobs.backing.jobs.add(make_job(tenant=tenant, parameters=make_parameters(num_steps=num_steps)))
    await ClaimLoop(leases.jobs, None).claim_or_drain()
    (leased,) = leases.jobs.held()
    assert leased.job.parameters.num_steps == first


async def test_a_worker_takes_the_jobs_of_another_region_once_nobody_there_is_healthy(leases: Leases) -> None:
    regions, workers = Regions(leases.database), Workers(leases.database)
    leases.jobs.settings = replace(leases.jobs.settings, region="eu")
    routing = RegionRouting(region="eu", regions=regions, rows=FleetRows(leases.database))
    claims = ClaimLoop(leases.jobs, None, routing=routing)
    for name in ("eu", "us"):
        await regions.add(name)
        beat = WorkerHeartbeat(labels=WorkerLabels(region=name))
        await workers.record_heartbeat(WorkerId(name), leases.now, beat)
    first = await leases.lease(make_job())
    first.claimed_at = time.monotonic() - 60
    away = replace(make_job(tier=Tier.PRO), region="us")
    await leases.jobs.backing.jobs.add(away)
    await claims.claim_or_drain()
    assert list(leases.jobs.by_id) == [first.job.id]
    leases.jobs.settings = replace(leases.jobs.settings, max_runs=1)
    await claims.claim_or_drain()
    assert leases.sent == [], "no run makes room for it either"

    leases.jobs.settings = replace(leases.jobs.settings, max_runs=2)
    leases.now += timedelta(seconds=30)
    await workers.record_heartbeat(WorkerId("eu"), leases.now, WorkerHeartbeat(labels=WorkerLabels(region="eu")))
    await claims.claim_or_drain()
    assert away.id in leases.jobs.by_id
    assert leases.count("jobs_spilled_over", home="us", region="eu", lane="pro") == 1


async def test_a_worker_takes_every_job_while_no_gateway_names_another_region(leases: Leases) -> None:
    """And asks for nothing but the names, now and then."""
    routing = RegionRouting(region="eu", regions=Regions(leases.database), rows=FleetRows(leases.database))
    assert await routing.find_places(NOW) is None
    await leases.jobs.backing.jobs.add(replace(make_job(), region="lost"))
    await ClaimLoop(leases.jobs, None, routing=routing).claim_or_drain()
    assert len(leases.jobs.by_id) == 1
