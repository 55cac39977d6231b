"""Decide the next step of a rollout: one worker at a time, and back where the new ones fail more often.

A worker of the old version drains, and one of the new version starts in its place; when that has proven itself, the
next one drains. As long as a new worker has not proven itself, any other place that comes free gets an old one.
Failures are compared by Fisher's exact test, one-sided, at 0.1 %, a bound that is low because it is looked at after
every run. Where the old version ran too little to compare with, more failures than 2 % of runs explain count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.fleet.rollout_phase import RolloutPhase
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.policy.fleet.evidence import binomial_tail, fisher_tail
from mezzotint.policy.fleet.health import RunCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRules:
    """The numbers of rollouts. alpha: of the test. usual_failures: share of runs that may fail in any version, where
    the old one has less than `least_old_runs`. least_failures: no single failed run ends a rollout.

    proof_runs, proof_s: a new worker has proven itself after so many runs, or, where few jobs come, so long. start_s:
    in which one must get ready. max_failed_starts: then the version does not start at all.
    """

    alpha: float = 0.001
    usual_failures: float = 0.02
    least_old_runs: int = 20
    least_failures: int = 2
    proof_runs: int = 20
    proof_s: float = 120.0
    start_s: float = 600.0
    max_failed_starts: int = 2


ROLLOUT_RULES = RolloutRules()
"""The rules that production uses."""


class RolloutAction(StrEnum):
    WAIT = "wait"
    DRAIN = "drain"
    START_NEW = "start_new"
    START_OLD = "start_old"
    GO_BACK = "go_back"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutMember:
    """A worker that has not ended. changed_at: since when it is in its state. num_runs: that ended since it started.
    num_running: jobs in its hands. has_node: it was placed, so that it starts or draws."""

    id: str
    is_new: bool
    state: FleetWorkerState
    changed_at: datetime
    num_runs: int = 0
    num_running: int = 0
    has_node: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """A rollout as it stands. members: workers that have not ended. num_wanted: workers that the pools are to have.

    old, new: runs of each version since the rollout began. num_failed_starts: new workers that were lost before they
    had proven themselves. last_failure: of the last of them, why.
    """

    phase: RolloutPhase
    members: Sequence[RolloutMember]
    num_wanted: int
    old: RunCounts
    new: RunCounts
    num_failed_starts: int = 0
    last_failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """drain: the workers that drain now. reason: for people."""

    action: RolloutAction
    reason: str
    drain: Sequence[str] = ()


def decide_step(view: RolloutView, now: datetime, rules: RolloutRules = ROLLOUT_RULES) -> RolloutStep:
    """The next step. The caller carries it out, changes the phase at GO_BACK and FINISH, and asks again."""
    if view.phase is RolloutPhase.ROLLING:
        why = explain_failure(view, now, rules)
        return RolloutStep(action=RolloutAction.GO_BACK, reason=why) if why else _go_on(view, now, rules)
    if view.phase is RolloutPhase.GOING_BACK:
        return _return_to_old(view)
    return RolloutStep(action=RolloutAction.WAIT, reason=f"the rollout is over: {view.phase}")


def explain_failure(view: RolloutView, now: datetime, rules: RolloutRules = ROLLOUT_RULES) -> str | None:
    """Why the new version is worse than the old one; None: nothing says so."""
    if view.num_failed_starts >= rules.max_failed_starts:
        why = f": {view.last_failure}" if view.last_failure else ""
        return f"{view.num_failed_starts} new workers ended before they had proven themselves{why}"
    for one in view.members:
        waited_s = (now - one.changed_at).total_seconds()
        if one.is_new and one.has_node and one.state is FleetWorkerState.STARTING and waited_s > rules.start_s:
            return f"{one.id} is not ready after {waited_s:.0f} s"
    if is_worse(view.new, view.old, rules):
        return (
            f"{view.new.num_failed} of {view.new.num_runs} runs failed on new workers, "
            f"{view.old.num_failed} of {view.old.num_runs} on old ones"
        )
    return None


def is_worse(new: RunCounts, old: RunCounts, rules: RolloutRules = ROLLOUT_RULES) -> bool:
    """Say whether more runs fail on the new version than chance explains."""
    if new.num_failed < rules.least_failures:
        return False
    if old.num_runs < rules.least_old_runs:
        return binomial_tail(new.num_failed, new.num_runs, rules.usual_failures) < rules.alpha
    return fisher_tail(new.num_failed, new.num_runs, old.num_failed, old.num_runs) < rules.alpha


def _go_on(view: RolloutView, now: datetime, rules: RolloutRules) -> RolloutStep:
    old = [one for one in view.members if not one.is_new]
    unproven = next((one for one in view.members if one.is_new and not has_proven_itself(one, now, rules)), None)
    if sum(one.state.counts for one in view.members) < view.num_wanted:
        if unproven is None:
            return RolloutStep(
                action=RolloutAction.START_NEW, reason="a worker of the new version takes the free place"
            )
        return RolloutStep(action=RolloutAction.START_OLD, reason=f"{unproven.id} has not proven itself")
    if unproven is not None:
        does = "starts" if unproven.state is FleetWorkerState.STARTING else f"proves itself: {unproven.num_runs} runs"
        return RolloutStep(action=RolloutAction.WAIT, reason=f"{unproven.id} {does}")
    if leaving := [one.id for one in view.members if one.state is FleetWorkerState.DRAINING]:
        return RolloutStep(action=RolloutAction.WAIT, reason=f"{leaving[0]} drains")
    if not old:
        return RolloutStep(action=RolloutAction.FINISH, reason="every worker has the new version")
    first = min(old, key=lambda one: (one.state is FleetWorkerState.READY, one.num_running, one.id))
    return RolloutStep(action=RolloutAction.DRAIN, reason=f"{first.id} makes place", drain=(first.id,))


def has_proven_itself(one: RolloutMember, now: datetime, rules: RolloutRules = ROLLOUT_RULES) -> bool:
    """Also true of one that drains: it is not waited for."""
    if one.state is FleetWorkerState.STARTING:
        return False
    waited_s = (now - one.changed_at).total_seconds()
    return not one.state.counts or one.num_runs >= rules.proof_runs or waited_s >= rules.proof_s


def _return_to_old(view: RolloutView) -> RolloutStep:
    """The new workers drain all at once: each spoils jobs. Old ones take their places."""
    counting = [one for one in view.members if one.state.counts]
    if spoilers := tuple(one.id for one in counting if one.is_new):
        return RolloutStep(action=RolloutAction.DRAIN, reason="the new version goes", drain=spoilers)
    if len(counting) < view.num_wanted:
        return RolloutStep(action=RolloutAction.START_OLD, reason="a worker of the old version takes the place again")
    if any(one.is_new or one.state is FleetWorkerState.STARTING for one in view.members):
        return RolloutStep(action=RolloutAction.WAIT, reason="the last workers drain or start")
    return RolloutStep(action=RolloutAction.FINISH, reason="every worker has the old version again")
