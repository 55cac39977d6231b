"""A round of the fleet's controller, decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.fleet.desired_fleet import PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker, FleetWorkerId
from mezzotint.domain.fleet.worker_state import FLEET_WORKER_TRANSITIONS, FleetWorkerState
from mezzotint.policy.fleet.reconcile import (
    SILENT,
    ActorReport,
    Observation,
    RoundPlan,
    WorkerGone,
    WorkerSilent,
    WorkerStage,
    judge_worker,
    plan_round,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
READY = ActorReport(stage=WorkerStage.READY)
STARTING, READY_STATE, DRAINING = FleetWorkerState.STARTING, FleetWorkerState.READY, FleetWorkerState.DRAINING
STOPPED, LOST = FleetWorkerState.STOPPED, FleetWorkerState.LOST


def make_row(number: int = 1, state: FleetWorkerState = READY_STATE, pool: str = "desk") -> FleetWorker:
    return FleetWorker(
        id=FleetWorkerId(f"{pool}-{number}"),
        pool=pool,
        region="default",
        version="1",
        digest="d",
        state=state,
        created_at=LONG_AGO + timedelta(seconds=number),
        changed_at=LONG_AGO,
        reason="wanted",
        is_created=True,
        was_ready=state is not STARTING,
        seen_at=NOW,
    )


def plan(
    rows: list[FleetWorker], number: int, seen: dict[str, Observation] | None = None, now: datetime = NOW
) -> RoundPlan:
    """seen: of workers that are not simply ready."""
    answers = {row.id: (seen or {}).get(row.id, READY) for row in rows if not row.state.is_final}
    target = PoolTarget(pool="desk", num_workers=number, reason="a test")
    return plan_round([target], rows, answers, now, LONG_AGO)


@pytest.mark.parametrize(
    ("state", "seen", "after"),
    [
        (STARTING, READY, READY_STATE),
        (STARTING, ActorReport(stage=WorkerStage.STARTING), STARTING),
        (STARTING, WorkerSilent(), STARTING),
        (STARTING, ActorReport(stage=WorkerStage.ENDED, error="ModelMissing: none"), LOST),
        (READY_STATE, WorkerGone(reason="killed"), LOST),
        (READY_STATE, ActorReport(stage=WorkerStage.ENDED), DRAINING),
        (DRAINING, READY, DRAINING),
        (DRAINING, ActorReport(stage=WorkerStage.ENDED), STOPPED),
        (DRAINING, ActorReport(stage=WorkerStage.ENDED, error="DeviceLost: cuda"), LOST),
        (DRAINING, WorkerGone(reason="killed"), LOST),
    ],
)
def test_a_worker_is_judged_by_what_its_actor_answers(
    state: FleetWorkerState, seen: Observation, after: FleetWorkerState
) -> None:
    judged = judge_worker(make_row(state=state), seen, NOW, LONG_AGO)
    assert judged.state is after
    assert after is state or after in FLEET_WORKER_TRANSITIONS[state]


def test_a_silent_worker_is_given_up_only_when_this_controller_has_waited_itself() -> None:
    row = replace(make_row(), seen_at=LONG_AGO)
    assert judge_worker(row, WorkerSilent(), NOW, NOW - SILENT / 2).state is READY_STATE
    assert judge_worker(row, WorkerSilent(), NOW, NOW - 2 * SILENT).state is LOST


def test_a_worker_whose_actor_was_never_made_is_made_and_not_started_twice() -> None:
    row = replace(make_row(state=STARTING), is_created=False, seen_at=None)
    made = plan([row], 1, {row.id: WorkerGone(reason="no actor")})
    assert [worker.id for worker in made.create] == [row.id]
    assert not made.start


def test_an_unwanted_worker_that_waits_for_a_node_is_dropped() -> None:
    waiting = replace(make_row(state=STARTING), seen_at=None)
    first = plan([waiting], 0, {waiting.id: WorkerSilent()})
    assert (first.changed[0].state, first.drain) == (DRAINING, [waiting.id])
    second = plan([*first.changed], 0, {waiting.id: WorkerSilent()})
    assert (second.changed[0].state, second.kill) == (STOPPED, [waiting.id])


def test_a_lost_worker_is_replaced_at_once_where_it_had_been_ready() -> None:
    row = make_row()
    made = plan([row], 1, {row.id: WorkerGone(reason="its node is gone")})
    assert (made.changed[0].state, made.changed[0].reason) == (LOST, "its node is gone")
    assert (made.start[0].num_workers, made.kill) == (1, [row.id])


def test_a_pool_whose_workers_never_get_ready_waits_longer_each_time() -> None:
    rows: list[FleetWorker] = []
    pauses = []
    now = NOW
    for number in range(12):
        failed_at = now
        rows.append(replace(make_row(number, LOST), was_ready=False, changed_at=failed_at))
        while not plan(rows, 1, now=now).start:
            now += timedelta(seconds=1)
        pauses.append((now - failed_at).total_seconds())
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300


def test_those_go_first_that_lose_least() -> None:
    old, busy, young = make_row(1), replace(make_row(2), num_running=3), make_row(3)
    new = make_row(4, STARTING)
    seen: dict[str, Observation] = {
        busy.id: replace(READY, num_running=3),
        new.id: ActorReport(stage=WorkerStage.STARTING),
    }
    rows = [old, busy, young, new]
    assert [set(plan(rows, number, seen).drain) for number in (3, 2, 1, 0)] == [
        {new.id},
        {new.id, young.id},
        {new.id, young.id, old.id},
        {new.id, young.id, old.id, busy.id},
    ]


def test_a_worker_that_is_to_drain_is_replaced_and_a_pool_that_is_gone_drains() -> None:
    drained, other = replace(make_row(1), is_drain_wanted=True), make_row(2, pool="gone")
    made = plan([drained, other], 1)
    assert sorted(made.drain) == [drained.id, other.id]
    assert [target.num_workers for target in made.start] == [1]
