"""The number of workers that each pool is to have: as the load calls for, or as its operator asked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetPhase, PoolTarget
from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.policy.fleet.autoscale import ScaleDecision, ScaleState


def pin_pools(fleet: Fleet, wanted: DesiredFleet) -> Fleet:
    """The fleet, with both bounds of each pool that its operator fixed at that number."""
    return replace(fleet, pools=tuple(_pin(pool, wanted.scaled.get(pool.name)) for pool in fleet.pools))


def _pin(pool: Pool, scaled: int | None) -> Pool:
    if scaled is None:
        return pool
    number = min(max(scaled, pool.min_workers), pool.max_workers)
    return replace(pool, min_workers=number, max_workers=number, warm_floor=0)


def choose_targets(
    fleet: Fleet, wanted: DesiredFleet, decisions: Mapping[str, ScaleDecision]
) -> tuple[PoolTarget, ...]:
    """decisions: of autoscaling, for the fleet with its pools pinned."""
    return tuple(_target_of(pool, wanted, decisions[pool.name]) for pool in fleet.pools)


def _target_of(pool: Pool, wanted: DesiredFleet, decision: ScaleDecision) -> PoolTarget:
    if wanted.phase is not FleetPhase.UP:
        return PoolTarget(pool=pool.name, num_workers=0, reason="the fleet is to end")
    scaled = wanted.scaled.get(pool.name)
    if scaled is None:
        return PoolTarget(pool=pool.name, num_workers=decision.desired, reason=decision.reason.sentence)
    reason = "asked for with `fleet scale`"
    if decision.desired != scaled:
        reason += f" ({scaled}, outside of {pool.min_workers} to {pool.max_workers})"
    return PoolTarget(pool=pool.name, num_workers=decision.desired, reason=reason)


def restore_states(targets: Sequence[PoolTarget]) -> dict[str, ScaleState]:
    """The knowledge of a controller that starts anew of the decisions before: the sizes. Fewer must suffice anew before
    any worker goes."""
    return {target.pool: ScaleState(desired=target.num_workers) for target in targets}
