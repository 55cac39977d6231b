"""Plan which pool does how much of the waiting work.

Each kind of work fills the pools that may claim it one after the other: its tenant's own first, then those of its
region, then those that its region spills to; of equals, those of the wanted market, then the cheapest for their speed.
It fills the workers that are there before it asks for more. A kind only ever spills, so that more work never means less
for any pool.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mezzotint.domain.fleet.pool import DEFAULT_REGION, Fleet, Market, Pool
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.fleet.placement import may_claim

MIN_HORIZON_S = 10.0
"""No backlog is to be gone sooner: what a pass and a claim take varies by more."""
MIN_SPEED = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingWork:
    """Jobs of one kind that wait. tenant: None: of tenants without a pool of their own. work_s: seconds of an
    accelerator of the fleet's usual speed. wait_s: what 95 of 100 have waited, of those that started lately and those
    that still wait. num_bytes: of the model's weights, where known."""

    model: str
    lane: Tier
    work_s: float
    wait_s: float = 0.0
    tenant: TenantId | None = None
    region: str = DEFAULT_REGION
    num_bytes: int | None = None

    @property
    def target_s(self) -> float:
        return limits_of(self.lane).target_wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReading:
    """A pool as it is. utilisation: part of the last minute that the devices of ready workers worked, 0 to 1. start_s:
    from a decision to a new worker's first step, as measured: machine, load and warm-up. speed: of its accelerators,
    relative to the fleet's (`compare_speed`). can_grow: False for some minutes after a wish for workers was not met.
    """

    pool: str
    num_ready: int = 0
    num_starting: int = 0
    num_draining: int = 0
    utilisation: float = 0.0
    start_s: float = 60.0
    speed: float = 1.0
    can_grow: bool = True

    @property
    def busy(self) -> float:
        """Workers' worth of devices in use."""
        return min(max(self.utilisation, 0.0), 1.0) * self.num_ready


@dataclass(slots=True, kw_only=True)
class PoolLoad:
    """The work that is planned for a pool. backlog: workers that clear what waits within its time. late: the kind that
    is furthest over its target."""

    pool: Pool
    reading: PoolReading
    backlog: float = 0.0
    work_s: float = 0.0
    late: WaitingWork | None = None

    @property
    def need(self) -> float:
        return self.reading.busy + self.backlog

    def horizon_s(self, kind: WaitingWork) -> float:
        """The time in which a kind's backlog is to be gone: a new worker cannot help sooner than it starts."""
        return max(kind.target_s, self.reading.start_s, MIN_HORIZON_S)

    def rate(self, kind: WaitingWork) -> float:
        """Seconds of the kind's work that one worker does within its horizon."""
        return max(self.reading.speed, MIN_SPEED) * self.horizon_s(kind)

    @property
    def num_present(self) -> int:
        return self.reading.num_ready + self.reading.num_starting

    @property
    def most(self) -> int:
        """Workers that the pool can have."""
        return self.pool.max_workers if self.reading.can_grow else self.num_present

    def take(self, kind: WaitingWork, work_s: float, most: float) -> float:
        """Plan the kind here until the pool needs `most` workers; return what is left, seconds."""
        rate = self.rate(kind)
        left_s = max(0.0, work_s - max(0.0, most - self.need) * rate)
        planned_s = work_s - left_s
        if planned_s > 0.0:
            self.backlog += planned_s / rate
            self.work_s += planned_s / max(self.reading.speed, MIN_SPEED)
            if kind.wait_s > kind.target_s and (self.late is None or _lateness(kind) > _lateness(self.late)):
                self.late = kind
        return left_s


def plan_load(
    fleet: Fleet, work: Sequence[WaitingWork], readings: Mapping[str, PoolReading], tolerance: float = 0.0
) -> dict[str, PoolLoad]:
    """The load of every pool, by its name. Work that no pool may claim is left out; work that no pool has room for is
    planned for the pool that comes first. tolerance: part of a worker by which present ones may be overfull.
    """
    loads = {pool.name: PoolLoad(pool=pool, reading=readings[pool.name]) for pool in fleet.pools}
    for kind in sorted(work, key=_precedence):
        major = Market.SPOT if fleet.spot_share >= 0.5 else Market.ON_DEMAND
        orders = {
            market: [loads[pool.name] for pool in order_pools(fleet, kind, market, readings)] for market in Market
        }
        if not orders[major]:
            continue
        left_s = max(0.0, kind.work_s)
        for load in orders[major]:
            left_s = load.take(kind, left_s, load.num_present + tolerance if load.num_present else 0.0)
        for market, share_s in _split(left_s, orders[major][0].rate(kind), fleet.spot_share, major).items():
            left_s = share_s
            for load in orders[market]:
                left_s = load.take(kind, left_s, load.most)
            orders[market][0].take(kind, left_s, math.inf)
    return loads


def _split(work_s: float, unit_s: float, spot_share: float, major: Market) -> dict[Market, float]:
    """The work by market. The first worker's worth goes to the market with the greater share: little work is not worth
    two workers."""
    rest_s = max(0.0, work_s - unit_s)
    parts = {Market.SPOT: spot_share * rest_s, Market.ON_DEMAND: (1.0 - spot_share) * rest_s}
    return {market: part_s + (min(work_s, unit_s) if market is major else 0.0) for market, part_s in parts.items()}


def order_pools(fleet: Fleet, kind: WaitingWork, market: Market, readings: Mapping[str, PoolReading]) -> list[Pool]:
    """The pools that may claim the work, in the order in which they are filled."""

    def key(pool: Pool) -> tuple[bool, int, bool, float]:
        price = (pool.price_per_hour or 0.0) / max(readings[pool.name].speed, MIN_SPEED)
        return (not pool.is_dedicated, near.index(pool.region), pool.market is not market, price)

    near = list(reachable_regions(fleet, kind.region))
    pools = [pool for pool in fleet.pools if pool.region in near]
    fitting = [pool for pool in pools if may_claim(pool, kind.model, kind.lane, kind.tenant, kind.num_bytes)]
    return sorted(fitting, key=key)


def reachable_regions(fleet: Fleet, region: str) -> Iterator[str]:
    """A region, and those that its jobs may spill to, nearest first. Of one that the fleet does not have: all."""
    home = next((one for one in fleet.regions if one.name == region), None)
    if home is None:
        yield from (one.name for one in fleet.regions)
    else:
        yield home.name
        yield from home.spills_to


def _precedence(kind: WaitingWork) -> tuple[bool, int, str, str, str]:
    """Work of dedicated pools is planned first, then the lanes by rank."""
    return kind.tenant is None, -kind.lane.rank, kind.region, kind.model, kind.tenant or ""


def _lateness(kind: WaitingWork) -> float:
    return kind.wait_s / kind.target_s
