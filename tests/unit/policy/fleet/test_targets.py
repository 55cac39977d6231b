"""What the load calls for and what the operator asked for, as targets of the pools."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetPhase, PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker, FleetWorkerId
from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.autoscale import FleetView, autoscale
from mezzotint.policy.fleet.load_plan import WaitingWork
from mezzotint.policy.fleet.pool_readings import NO_NODE_AFTER, SMOOTH_S, PoolMeter
from mezzotint.policy.fleet.targets import choose_targets, pin_pools, restore_states

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLEET = Fleet(pools=(Pool(name="desk", min_workers=1, max_workers=3), Pool(name="spare", max_workers=2)))
UP = DesiredFleet(
    document={}, digest="", phase=FleetPhase.UP, namespace="n", ray_address="a:1", version="1", changed_at=NOW
)
MUCH = WaitingWork(model="starter", lane=Tier.PRO, work_s=1000.0)


def targets(wanted: DesiredFleet, *work: WaitingWork, before: tuple[PoolTarget, ...] = ()) -> list[PoolTarget]:
    view = FleetView(work=work, states=restore_states(before))
    decisions = {one.pool: one for one in autoscale(pin_pools(FLEET, wanted), view, NOW)}
    return list(choose_targets(FLEET, wanted, decisions))


def test_the_load_decides_and_says_why() -> None:
    (quiet, _), (busy, _) = targets(UP), targets(UP, MUCH)
    assert (quiet.num_workers, busy.num_workers) == (1, 3)
    assert "1000 s of work wait" in busy.reason or "are wanted" in busy.reason


@pytest.mark.parametrize(("scaled", "number"), [(0, 0), (1, 1), (2, 2), (9, 2)])
def test_what_the_operator_asked_for_holds_whatever_the_load_within_the_bounds(scaled: int, number: int) -> None:
    wanted = replace(UP, scaled={"spare": scaled})
    for work in ((), (MUCH,)):
        spare = targets(wanted, *work)[1]
        assert (spare.num_workers, "fleet scale" in spare.reason) == (number, True)


def test_a_fleet_that_is_to_end_wants_nobody() -> None:
    wanted = replace(UP, phase=FleetPhase.STOPPING, scaled={"desk": 2})
    assert [target.num_workers for target in targets(wanted, MUCH)] == [0, 0]


def test_a_controller_that_starts_anew_lets_nobody_go_at_once() -> None:
    before = (PoolTarget(pool="desk", num_workers=3, reason="before"),)
    assert targets(UP, before=before)[0].num_workers == 3


def make_worker(state: FleetWorkerState, num_running: int = 0) -> FleetWorker:
    return FleetWorker(
        id=FleetWorkerId("desk-1"),
        pool="desk",
        region="default",
        version="1",
        digest="d",
        state=state,
        created_at=NOW - timedelta(seconds=25),
        changed_at=NOW,
        reason="wanted",
        num_running=num_running,
    )


def test_use_counts_for_two_thirds_after_its_time_and_a_start_is_measured() -> None:
    meter, idle = PoolMeter(), make_worker(FleetWorkerState.READY)
    assert meter.read(FLEET, [idle], NOW)["desk"].utilisation == 0.0
    later = NOW + timedelta(seconds=SMOOTH_S)
    reading = meter.read(FLEET, [replace(idle, num_running=1)], later)["desk"]
    assert reading.utilisation == pytest.approx(0.632, abs=0.001)
    assert (reading.num_ready, reading.start_s) == (1, 25.0)
    assert meter.read(FLEET, [], later)["desk"].start_s == 25.0


def test_a_pool_cannot_grow_while_a_worker_waits_for_a_node_that_does_not_come() -> None:
    waiting = make_worker(FleetWorkerState.STARTING)
    assert PoolMeter().read(FLEET, [waiting], NOW)["desk"].can_grow
    assert not PoolMeter().read(FLEET, [waiting], NOW + NO_NODE_AFTER)["desk"].can_grow
