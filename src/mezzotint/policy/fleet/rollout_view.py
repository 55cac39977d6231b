"""A rollout as its rows show it, and the release that workers which start get meanwhile."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mezzotint.domain.fleet.desired_fleet import PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker
from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.fleet.rollout import Release, Rollout
from mezzotint.domain.fleet.rollout_phase import RolloutPhase
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.policy.fleet.health import RunCounts
from mezzotint.policy.fleet.rollout import (
    ROLLOUT_RULES,
    RolloutAction,
    RolloutMember,
    RolloutRules,
    RolloutStep,
    RolloutView,
    decide_step,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """The step of a rollout, as a round carries it out. rollout: as it is from now on. leaving: workers that drain, and
    why."""

    rollout: Rollout
    step: RolloutStep
    leaving: Mapping[str, str]


def plan_rollout(
    rollout: Rollout,
    targets: Sequence[PoolTarget],
    rows: Sequence[FleetWorker],
    now: datetime,
    rules: RolloutRules = ROLLOUT_RULES,
) -> RolloutPlan:
    """rows: all workers that live, and those that ended since the rollout began."""
    step = decide_step(read_view(rollout, targets, rows, rules), now, rules)
    phase = rollout.phase
    if step.action is RolloutAction.GO_BACK:
        phase = RolloutPhase.GOING_BACK
    elif step.action is RolloutAction.FINISH:
        phase = RolloutPhase.DONE if phase is RolloutPhase.ROLLING else RolloutPhase.WENT_BACK
    after = replace(rollout, phase=phase, step=step.reason)
    if phase is not rollout.phase:
        reason = rollout.reason if phase is RolloutPhase.WENT_BACK else step.reason
        after = replace(after, reason=reason, changed_at=now)
    why = f"rollout of {rollout.release.version}: {step.reason}"
    return RolloutPlan(rollout=after, step=step, leaving=dict.fromkeys(step.drain, why))


def read_view(
    rollout: Rollout,
    targets: Sequence[PoolTarget],
    rows: Sequence[FleetWorker],
    rules: RolloutRules = ROLLOUT_RULES,
) -> RolloutView:
    mine = [row for row in rows if row.pool in rollout.pools]
    lost = [row for row in mine if is_new(row, rollout) and row.state is FleetWorkerState.LOST]
    failed = [row for row in lost if not _was_proven(row, rules)]
    count_new, count_old = read_counts(rollout, rows)
    return RolloutView(
        phase=rollout.phase,
        members=[
            RolloutMember(
                id=row.id,
                is_new=is_new(row, rollout),
                state=row.state,
                changed_at=row.changed_at,
                num_runs=row.num_runs,
                num_running=row.num_running,
                has_node=row.seen_at is not None,
            )
            for row in mine
            if not row.state.is_final
        ],
        num_wanted=sum(target.num_workers for target in targets if target.pool in rollout.pools),
        old=count_old,
        new=count_new,
        num_failed_starts=len(failed),
        last_failure=max(failed, key=lambda row: row.changed_at).reason if failed else "",
    )


def read_counts(rollout: Rollout, rows: Sequence[FleetWorker]) -> tuple[RunCounts, RunCounts]:
    """The runs of new workers, and of old ones, since the rollout began."""
    mine = [row for row in rows if row.pool in rollout.pools]
    new = [row for row in mine if is_new(row, rollout)]
    return _count_runs(new, rollout), _count_runs([row for row in mine if row not in new], rollout)


def is_new(row: FleetWorker, rollout: Rollout) -> bool:
    return row.version == rollout.release.version and row.created_at >= rollout.started_at


def choose_release(plan: RolloutPlan | None, pool: str, present: Release, num_started: int) -> Release:
    """The release of a worker that starts now. present: the fleet's. num_started: workers of the new release that this
    round starts already: one at a time has to prove itself."""
    if plan is None or pool not in plan.rollout.pools:
        return present
    if plan.rollout.phase is RolloutPhase.DONE:
        return plan.rollout.release
    takes_new = plan.step.action in (RolloutAction.DRAIN, RolloutAction.START_NEW) and not num_started
    return plan.rollout.release if takes_new and plan.rollout.phase is RolloutPhase.ROLLING else present


def choose_pools(old: Fleet, new: Fleet, *, replaces_all: bool) -> tuple[str, ...]:
    """The pools whose workers a rollout replaces: all, or those whose workers differ."""
    before = {pool.name: digest_pool(pool) for pool in old.pools}
    return tuple(pool.name for pool in new.pools if replaces_all or digest_pool(pool) != before[pool.name])


def digest_pool(pool: Pool) -> str:
    """SHA-256, in hex, of what makes its workers differ from others: not of how many there are."""
    alike = replace(pool, min_workers=0, max_workers=1, warm_floor=0, price_per_hour=None)
    return hashlib.sha256(repr(alike).encode()).hexdigest()


def _count_runs(rows: Sequence[FleetWorker], rollout: Rollout) -> RunCounts:
    """The runs since the rollout began."""
    before = [rollout.baseline.get(row.id, (0, 0)) for row in rows]
    return RunCounts(
        num_runs=sum(row.num_runs - runs for row, (runs, _) in zip(rows, before, strict=True)),
        num_failed=sum(row.num_failed - failed for row, (_, failed) in zip(rows, before, strict=True)),
    )


def _was_proven(row: FleetWorker, rules: RolloutRules) -> bool:
    lived_s = (row.changed_at - row.created_at).total_seconds()
    return row.was_ready and (row.num_runs > rules.proof_runs or lived_s > rules.start_s)
