"""A rollout replaces one worker at a time, and goes back where the new ones fail more often."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import comb
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.domain.fleet.rollout_phase import RolloutPhase
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.policy.fleet.evidence import binomial_tail, fisher_tail
from mezzotint.policy.fleet.health import RunCounts
from mezzotint.policy.fleet.rollout import (
    RolloutAction,
    RolloutMember,
    RolloutStep,
    RolloutView,
    decide_step,
    is_worse,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READY, STARTING, DRAINING = FleetWorkerState.READY, FleetWorkerState.STARTING, FleetWorkerState.DRAINING


def member(id: str, state: FleetWorkerState = READY, *, age_s: float = 1.0, **more: Any) -> RolloutMember:
    changed_at = NOW - timedelta(seconds=age_s)
    return RolloutMember(id=id, is_new=id.startswith("new"), state=state, changed_at=changed_at, **more)


def counts(num: int, failed: int = 0) -> RunCounts:
    return RunCounts(num_runs=num, num_failed=failed)


def step(
    *members: RolloutMember,
    phase: RolloutPhase = RolloutPhase.ROLLING,
    old: RunCounts | None = None,
    new: RunCounts | None = None,
    num_failed_starts: int = 0,
) -> RolloutStep:
    view = RolloutView(
        phase=phase,
        members=members,
        num_wanted=3,
        old=old or counts(100),
        new=new or counts(0),
        num_failed_starts=num_failed_starts,
    )
    return decide_step(view, NOW)


OLD = (member("old-1"), member("old-2"), member("old-3"))
BACK = RolloutPhase.GOING_BACK
STEPS: list[tuple[str, RolloutStep, RolloutAction, Sequence[str]]] = [
    ("the first goes", step(*OLD), RolloutAction.DRAIN, ("old-1",)),
    ("it drains", step(member("old-1", DRAINING), *OLD[1:]), RolloutAction.START_NEW, ()),
    ("its place is free", step(*OLD[1:]), RolloutAction.START_NEW, ()),
    ("it drains longer than the new one starts", step(member("old-1", DRAINING), member("new-1", num_runs=20),
     *OLD[1:]), RolloutAction.WAIT, ()),
    ("another place is free", step(member("new-1", num_runs=19), OLD[2]), RolloutAction.START_OLD, ()),
    ("it waits for a node", step(member("new-1", STARTING, age_s=601.0, has_node=False), *OLD[1:]),
     RolloutAction.WAIT, ()),
    ("the new one starts", step(member("new-1", STARTING), *OLD[1:]), RolloutAction.WAIT, ()),
    ("it proves itself", step(member("new-1", num_runs=19), *OLD[1:]), RolloutAction.WAIT, ()),
    ("it has, by runs", step(member("new-1", num_runs=20), *OLD[1:]), RolloutAction.DRAIN, ("old-2",)),
    ("it has, by time", step(member("new-1", age_s=120.0), *OLD[1:]), RolloutAction.DRAIN, ("old-2",)),
    ("all are new", step(*(member(f"new-{i}", age_s=200) for i in range(3))), RolloutAction.FINISH, ()),
    ("it does not start", step(member("new-1", STARTING, age_s=601.0), *OLD[1:]), RolloutAction.GO_BACK, ()),
    ("none starts", step(*OLD[1:], num_failed_starts=2), RolloutAction.GO_BACK, ()),
    ("every run fails", step(member("new-1"), *OLD[1:], new=counts(2, 2)), RolloutAction.GO_BACK, ()),
    ("one run fails", step(member("new-1"), *OLD[1:], new=counts(1, 1)), RolloutAction.WAIT, ()),
    ("back: the new ones go", step(member("new-1"), member("new-2"), OLD[2], phase=BACK), RolloutAction.DRAIN,
     ("new-1", "new-2")),
    ("back: places are free", step(member("new-1", DRAINING), OLD[2], phase=BACK), RolloutAction.START_OLD, ()),
    ("back: one starts", step(member("old-4", STARTING), *OLD[1:], phase=BACK), RolloutAction.WAIT, ()),
    ("back: done", step(*OLD, phase=BACK), RolloutAction.FINISH, ()),
    ("over", step(*OLD, phase=RolloutPhase.DONE), RolloutAction.WAIT, ()),
]  # fmt: skip


@pytest.mark.parametrize(("why", "made", "action", "drain"), STEPS, ids=[one[0] for one in STEPS])
def test_each_step_follows_from_what_is_there(
    why: str, made: RolloutStep, action: RolloutAction, drain: Sequence[str]
) -> None:
    assert (made.action, tuple(made.drain)) == (action, tuple(drain)), made.reason
    assert made.reason


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        (counts(0), counts(100), False),
        (counts(1, 1), counts(100), False),
        (counts(2, 2), counts(100), True),
        (counts(2, 2), counts(0), True),
        (counts(30, 3), counts(0), False),
        (counts(30, 6), counts(0), True),
        (counts(40, 4), counts(1000, 20), False),
        (counts(40, 9), counts(1000, 20), True),
        (counts(40, 20), counts(1000, 500), False),
        (counts(10, 0), counts(100, 50), False),
    ],
)
def test_a_version_is_worse_where_chance_does_not_explain_its_failures(
    new: RunCounts, old: RunCounts, worse: bool
) -> None:
    assert is_worse(new, old) is worse


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_the_tests_are_exact(trials: int, others: int, data: st.DataObject) -> None:
    hits, other_hits = data.draw(st.integers(0, trials)), data.draw(st.integers(0, others))
    all_hits = hits + other_hits
    ways = sum(comb(trials, k) * comb(others, all_hits - k) for k in range(hits, min(trials, all_hits) + 1))
    assert fisher_tail(hits, trials, other_hits, others) == pytest.approx(ways / comb(trials + others, all_hits))
    tail = sum(comb(trials, k) * 0.02**k * 0.98 ** (trials - k) for k in range(hits, trials + 1))
    assert binomial_tail(hits, trials, 0.02) == pytest.approx(tail)


def run_rollout(new_fails: bool) -> tuple[RolloutPhase, list[RolloutAction], int]:
    """Three workers, a run a second on each: the phase in the end, what was done, and the fewest that were there."""
    now, number = NOW, 0
    workers = {f"old-{i}": member(f"old-{i}") for i in range(3)}
    totals, phase, actions, fewest = {True: counts(0), False: counts(200)}, RolloutPhase.ROLLING, [], 3
    for _ in range(400):
        now += timedelta(seconds=1)
        for id, one in list(workers.items()):
            is_settled = now - one.changed_at >= timedelta(seconds=5)
            if one.state is STARTING and is_settled:
                workers[id] = replace(one, state=READY, changed_at=now)
            elif one.state is DRAINING and is_settled:
                del workers[id]
            elif one.state is READY:
                before = totals[one.is_new]
                fails = new_fails and one.is_new
                totals[one.is_new] = counts(before.num_runs + 1, before.num_failed + fails)
                workers[id] = replace(one, num_runs=one.num_runs + 1)
        view = RolloutView(
            phase=phase, members=list(workers.values()), num_wanted=3, old=totals[False], new=totals[True]
        )
        made = decide_step(view, now)
        actions.append(made.action)
        for id in made.drain:
            workers[id] = replace(workers[id], state=DRAINING, changed_at=now)
        if made.action in (RolloutAction.START_NEW, RolloutAction.START_OLD):
            number += 1
            id = f"{'new' if made.action is RolloutAction.START_NEW else 'old'}-s{number}"
            workers[id] = replace(member(id, STARTING), changed_at=now)
        if made.action is RolloutAction.GO_BACK:
            phase = BACK
        if made.action is RolloutAction.FINISH:
            return (RolloutPhase.DONE if phase is RolloutPhase.ROLLING else RolloutPhase.WENT_BACK), actions, fewest
        fewest = min(fewest, sum(one.state is READY for one in workers.values()))
    return phase, actions, fewest


def test_a_good_version_reaches_every_worker_one_at_a_time() -> None:
    phase, actions, fewest = run_rollout(new_fails=False)
    assert phase is RolloutPhase.DONE
    assert actions.count(RolloutAction.DRAIN) == actions.count(RolloutAction.START_NEW) == 3
    assert fewest == 2


def test_a_broken_version_is_gone_after_its_first_worker() -> None:
    phase, actions, _ = run_rollout(new_fails=True)
    assert phase is RolloutPhase.WENT_BACK
    assert actions.count(RolloutAction.START_NEW) == actions.count(RolloutAction.START_OLD) == 1
