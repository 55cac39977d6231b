"""A rollout, from the rows of its workers to the next step."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mezzotint.domain.fleet.desired_fleet import PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker, FleetWorkerId
from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.fleet.rollout import Release, Rollout
from mezzotint.domain.fleet.rollout_phase import RolloutPhase
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.policy.fleet.health import RunCounts
from mezzotint.policy.fleet.rollout import RolloutAction
from mezzotint.policy.fleet.rollout_view import choose_pools, choose_release, plan_rollout, read_counts, read_view
from tests.making import NOW

READY, STARTING, LOST = FleetWorkerState.READY, FleetWorkerState.STARTING, FleetWorkerState.LOST
OLD, NEW = (Release(version=version, document={}, digest=version) for version in ("1", "2"))
ROLLOUT = Rollout(
    seq=1,
    old="1",
    release=NEW,
    pools=("desk",),
    phase=RolloutPhase.ROLLING,
    reason="asked for",
    step="",
    started_at=NOW,
    changed_at=NOW,
    baseline={"old-1": (90, 9)},
)
TARGETS = [PoolTarget(pool="desk", num_workers=2, reason="min"), PoolTarget(pool="other", num_workers=5, reason="min")]


def row(id: str, *, num_runs: int = 0, num_failed: int = 0, age_s: float = -1.0, pool: str = "desk") -> FleetWorker:
    at = NOW - timedelta(seconds=age_s)
    return FleetWorker(
        id=FleetWorkerId(id),
        pool=pool,
        region="default",
        version="2" if id.startswith("new") else "1",
        digest="d",
        state=READY,
        created_at=at,
        changed_at=at,
        reason="wanted",
        is_created=True,
        was_ready=True,
        num_runs=num_runs,
        num_failed=num_failed,
        seen_at=NOW,
    )


def test_runs_count_from_the_beginning_of_the_rollout() -> None:
    rows = [
        row("old-1", num_runs=100, num_failed=10, age_s=900),
        row("new-1", num_runs=7, num_failed=2),
        row("new-0", num_runs=50, num_failed=50, age_s=600),  # of an earlier rollout of the same label
        row("old-2", num_runs=70, num_failed=70, pool="other"),
    ]
    new, old = read_counts(replace(ROLLOUT, baseline={"old-1": (90, 9), "new-0": (50, 50)}), rows)
    assert (new, old) == (RunCounts(num_runs=7, num_failed=2), RunCounts(num_runs=10, num_failed=1))


@pytest.mark.parametrize(("was_ready", "num_runs", "failed"), [(False, 0, 1), (True, 3, 1), (True, 21, 0)])
def test_a_new_worker_that_is_lost_before_it_has_proven_itself_is_a_failed_start(
    was_ready: bool, num_runs: int, failed: int
) -> None:
    lost = replace(row("new-1", num_runs=num_runs), state=LOST, was_ready=was_ready)
    old = replace(row("old-1"), state=LOST, was_ready=False)
    view = read_view(ROLLOUT, TARGETS, [lost, old])
    assert (view.num_failed_starts, view.num_wanted, view.members) == (failed, 2, [])


def test_a_rollout_writes_down_its_phase_and_why() -> None:
    bad = [row("old-1"), row("new-1", num_runs=2, num_failed=2)]
    back = plan_rollout(ROLLOUT, TARGETS, bad, NOW)
    assert back.rollout.phase is RolloutPhase.GOING_BACK
    assert "2 of 2 runs failed on new workers" in back.rollout.reason
    goes = plan_rollout(back.rollout, TARGETS, bad, NOW)
    assert (list(goes.leaving), goes.rollout.phase) == (["new-1"], RolloutPhase.GOING_BACK)
    over = plan_rollout(back.rollout, TARGETS, [row("old-1"), row("old-2")], NOW)
    assert (over.rollout.phase, over.rollout.reason) == (RolloutPhase.WENT_BACK, back.rollout.reason)
    done = plan_rollout(ROLLOUT, TARGETS, [row("new-1", num_runs=20), row("new-2", num_runs=20)], NOW)
    assert (done.rollout.phase, done.step.action) == (RolloutPhase.DONE, RolloutAction.FINISH)
    lost = [replace(row(f"new-{n}"), state=LOST, was_ready=False, reason="no such database") for n in range(2)]
    unfit = plan_rollout(ROLLOUT, TARGETS, [row("old-1"), *lost], NOW)
    assert unfit.rollout.phase is RolloutPhase.GOING_BACK
    assert unfit.rollout.reason == "2 new workers ended before they had proven themselves: no such database"


def test_one_new_worker_starts_at_a_time_and_other_places_get_old_ones() -> None:
    drains = plan_rollout(ROLLOUT, TARGETS, [row("old-1"), row("old-2")], NOW)
    assert choose_release(None, "desk", OLD, 0) is OLD
    assert [choose_release(drains, "desk", OLD, number) for number in (0, 1)] == [NEW, OLD]
    assert choose_release(drains, "other", OLD, 0) is OLD
    waits = plan_rollout(ROLLOUT, TARGETS, [row("new-1")], NOW)
    assert choose_release(waits, "desk", OLD, 0) is OLD
    back = plan_rollout(replace(ROLLOUT, phase=RolloutPhase.GOING_BACK), TARGETS, [row("old-1")], NOW)
    assert choose_release(back, "desk", OLD, 0) is OLD


def test_only_pools_whose_workers_differ_are_rolled() -> None:
    old = Fleet(pools=(Pool(name="a"), Pool(name="b")))
    new = Fleet(pools=(Pool(name="a", max_workers=9, price_per_hour=2.0), Pool(name="b", settings={"dtype": "auto"})))
    assert choose_pools(old, new, replaces_all=False) == ("b",)
    assert choose_pools(old, old, replaces_all=True) == ("a", "b")
