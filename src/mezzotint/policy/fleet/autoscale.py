"""Decide how many workers each pool should have, each with its reason.

Up at once, by at most as many as there are (or two); down by a quarter at most, one decision after the other, and only
when less has sufficed for a minute or for the time that twice a start takes. Less must suffice with room to spare, so
that the same load never calls for both. The numbers are absolute, not increments: a worker that still starts is not
wished for again. The bounds and their proofs stand in docs/explanation/fleet.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mezzotint.domain.fleet.pool import Fleet
from mezzotint.policy.fleet.load_plan import PoolLoad, PoolReading, WaitingWork, plan_load
from mezzotint.policy.fleet.scale_reason import ScaleCause, ScaleReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRules:
    """The numbers of autoscaling; the simulator tries others.

    tolerance: part of a worker that a backlog may ask for in vain. target_utilisation: the part of their time that the
    workers which stay after a step down may be busy. calm_s, starts: less must suffice for the longer of calm_s and so
    many times start_s. down_every_s: between two steps down. min_step_up: workers that may always come at once.
    down_part: part of a pool that may go at once; one always may.
    """

    tolerance: float = 0.25
    target_utilisation: float = 0.8
    calm_s: float = 60.0
    starts: float = 2.0
    down_every_s: float = 30.0
    min_step_up: int = 2
    down_part: float = 0.25

    def step_up(self, before: int) -> int:
        return max(self.min_step_up, before)

    def step_down(self, before: int) -> int:
        return max(1, int(before * self.down_part))

    def calm_of(self, reading: PoolReading) -> timedelta:
        return timedelta(seconds=max(self.calm_s, self.starts * reading.start_s))


SCALE_RULES = ScaleRules()
"""The rules that production uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleState:
    """The state of a pool between decisions. desired: workers. changed_at: when that last changed. calm_since: since
    when fewer would do."""

    desired: int = 0
    changed_at: datetime | None = None
    calm_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleDecision:
    """The size of a pool from now on. before: what it was. state: to be kept for the next decision."""

    pool: str
    before: int
    desired: int
    reason: ScaleReason
    state: ScaleState


@dataclass(frozen=True, slots=True)
class Wish:
    """The size that a pool would have, were there no ceiling of cost."""

    load: PoolLoad
    before: int
    desired: int
    reason: ScaleReason
    calm_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """All that a decision sees. readings, states: by pool; a pool without one has no workers yet."""

    work: Sequence[WaitingWork] = ()
    readings: Mapping[str, PoolReading] = field(default_factory=dict)
    states: Mapping[str, ScaleState] = field(default_factory=dict)


def autoscale(
    fleet: Fleet, view: FleetView, now: datetime, rules: ScaleRules = SCALE_RULES
) -> tuple[ScaleDecision, ...]:
    """Decide once for each pool, in the fleet's order. An operator's new bounds and ceiling hold at once, however
    large the step."""
    readings = {pool.name: view.readings.get(pool.name) or PoolReading(pool=pool.name) for pool in fleet.pools}
    states = [view.states.get(pool.name) or ScaleState() for pool in fleet.pools]
    loads = plan_load(fleet, view.work, readings, rules.tolerance)
    wishes = [_wish(loads[pool.name], state, now, rules) for pool, state in zip(fleet.pools, states, strict=True)]
    if fleet.cost_ceiling_per_hour is not None:
        wishes = _hold_ceiling(wishes, fleet.cost_ceiling_per_hour)
    return tuple(_decide(wish, state, now) for wish, state in zip(wishes, states, strict=True))


def _decide(wish: Wish, state: ScaleState, now: datetime) -> ScaleDecision:
    changes = wish.desired != state.desired
    return ScaleDecision(
        pool=wish.load.pool.name,
        before=state.desired,
        desired=wish.desired,
        reason=wish.reason,
        state=ScaleState(
            desired=wish.desired,
            changed_at=now if changes else state.changed_at,
            calm_since=None if wish.desired > state.desired else wish.calm_since,
        ),
    )


def _wish(load: PoolLoad, state: ScaleState, now: datetime, rules: ScaleRules) -> Wish:
    pool = load.pool
    before = min(max(state.desired, pool.min_workers), pool.max_workers)
    wanted, cause = _count_wanted(load, before, rules)
    reason = _reason(load, cause, wanted)
    if wanted > before or before != state.desired:
        return _rise(load, before, wanted, reason, rules)
    relaxed = load.reading.busy / rules.target_utilisation + load.backlog  # with room to spare
    enough = max(math.ceil(relaxed) + pool.warm_floor, wanted)
    if enough >= before or load.late is not None:  # nobody goes while a lane is late
        quiet = replace(reason, cause=ScaleCause.STEADY if pool.min_workers < before else ScaleCause.MINIMUM)
        return Wish(load, before, before, replace(quiet, limit=pool.min_workers), None)
    return _fall(load, state, enough, reason, now=now, rules=rules)


def _count_wanted(load: PoolLoad, before: int, rules: ScaleRules) -> tuple[int, ScaleCause]:
    """The workers that the load calls for at least, and what calls for them."""
    working = math.ceil(load.need - rules.tolerance) if load.need > 0.0 else 0
    working = max(working, 1 if load.need > 0.0 else 0)
    wanted, cause = working + load.pool.warm_floor, ScaleCause.BACKLOG
    if load.pool.warm_floor and load.backlog <= 0.0:
        cause = ScaleCause.WARM_FLOOR
    if wanted <= before and _is_late(load, before, rules):
        return before + 1, ScaleCause.LATE
    return wanted, cause


def _is_late(load: PoolLoad, before: int, rules: ScaleRules) -> bool:
    """Tell whether a lane waits longer than its target though every worker that was wished for is there and busy."""
    reading = load.reading
    is_full = reading.num_ready >= before and reading.busy >= rules.target_utilisation * reading.num_ready
    return load.late is not None and reading.can_grow and not reading.num_starting and is_full


def _rise(load: PoolLoad, before: int, wanted: int, reason: ScaleReason, rules: ScaleRules) -> Wish:
    pool, reading = load.pool, load.reading
    limits = [
        (wanted, reason),
        (pool.max_workers, replace(reason, cause=ScaleCause.MAXIMUM, limit=pool.max_workers)),
        (before + rules.step_up(before), replace(reason, cause=ScaleCause.STEP, limit=rules.step_up(before))),
    ]
    if not reading.can_grow:
        there = max(before, reading.num_ready + reading.num_starting)
        limits.append((there, replace(reason, cause=ScaleCause.NO_MACHINES)))
    desired, why = min(limits, key=lambda limit: limit[0])
    if desired <= before:
        desired = before
        if wanted <= before:
            cause = ScaleCause.MINIMUM if before == pool.min_workers else ScaleCause.MAXIMUM
            why = replace(reason, cause=cause, limit=before)
    return Wish(load, before, desired, why, None)


def _fall(
    load: PoolLoad, state: ScaleState, enough: int, reason: ScaleReason, *, now: datetime, rules: ScaleRules
) -> Wish:
    """Fewer would do: let some go when they would have done for long enough."""
    since = state.calm_since or now
    calm, least = now - since, rules.calm_of(load.reading)
    reason = replace(reason, wanted=enough, calm_s=calm.total_seconds(), limit=least.total_seconds())
    is_soon = state.changed_at is not None and now - state.changed_at < timedelta(seconds=rules.down_every_s)
    floor = max(enough, load.pool.min_workers)
    if calm < least or is_soon or floor >= state.desired:
        is_min = floor >= state.desired
        cause = ScaleCause.MINIMUM if is_min else ScaleCause.COOLING
        limit = float(load.pool.min_workers) if is_min else reason.limit
        return Wish(load, state.desired, state.desired, replace(reason, cause=cause, limit=limit), since)
    desired = max(floor, state.desired - rules.step_down(state.desired))
    return Wish(load, state.desired, desired, replace(reason, cause=ScaleCause.IDLE), since)


def _hold_ceiling(wishes: Sequence[Wish], ceiling: float) -> list[Wish]:
    """Grant growth in the fleet's order as far as the ceiling reaches; take from the last pool first where what is
    wished for costs more, since the ceiling was lowered. Workers that drain still cost, and defer growth."""
    sizes = [min(wish.before, wish.desired) for wish in wishes]
    planned = sum(_price(wish) * size for wish, size in zip(wishes, sizes, strict=True))
    for i in reversed(range(len(wishes))):
        while planned > ceiling and sizes[i] > wishes[i].load.pool.min_workers and _price(wishes[i]) > 0.0:
            sizes[i] -= 1
            planned -= _price(wishes[i])
    spend = sum(_cost(wish, size) for wish, size in zip(wishes, sizes, strict=True))
    for i, wish in enumerate(wishes):
        while sizes[i] < wish.desired:
            more = _cost(wish, sizes[i] + 1) - _cost(wish, sizes[i])
            if planned + _price(wish) > ceiling or (more > 0.0 and spend + more > ceiling):
                break
            sizes[i] += 1
            planned += _price(wish)
            spend += more
    return [
        wish
        if size == wish.desired
        else replace(wish, desired=size, reason=replace(wish.reason, cause=ScaleCause.COST_CEILING, limit=ceiling))
        for wish, size in zip(wishes, sizes, strict=True)
    ]


def _price(wish: Wish) -> float:
    return wish.load.pool.price_per_hour or 0.0


def _cost(wish: Wish, size: int) -> float:
    """The price of a pool of the size an hour, with the workers beyond it that are still there."""
    reading = wish.load.reading
    return _price(wish) * (max(size, reading.num_ready + reading.num_starting) + reading.num_draining)


def _reason(load: PoolLoad, cause: ScaleCause, wanted: int) -> ScaleReason:
    late = load.late
    return ScaleReason(
        cause=cause,
        wanted=wanted,
        busy=load.reading.busy,
        work_s=load.work_s,
        lane=None if late is None else late.lane,
        wait_s=0.0 if late is None else late.wait_s,
        target_s=0.0 if late is None else late.target_s,
        limit=float(load.pool.warm_floor),
    )
