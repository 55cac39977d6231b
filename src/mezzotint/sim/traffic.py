"""Traffic: streams of job arrivals, and the scenarios made of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.sim.rng import Rng
from mezzotint.sim.simulation import JobArrival, Machine

TWO_GPUS = Machine(num_workers=2, speeds=(10.0, 14.0, 16.5, 18.0))
"""At one megapixel and 30 steps: 3 s alone, 6.7 s as one of four that share every pass. Assumed, not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Tenants of one lane who submit independently. rate: jobs a second of all of them. cost: from, to."""

    lane: Tier
    num_tenants: int
    rate: float
    cost: tuple[float, float]
    model: str = ""


def arrive_steadily(crowd: Crowd, from_s: float, until_s: float, rng: Rng) -> Iterator[JobArrival]:
    """A Poisson stream."""
    at_s = from_s + rng.exponential(1.0 / crowd.rate)
    while at_s < until_s:
        yield _draw_arrival(crowd, at_s, rng.below(crowd.num_tenants), rng)
        at_s += rng.exponential(1.0 / crowd.rate)


def arrive_at_once(crowd: Crowd, num_jobs: int, at_s: float, within_s: float, rng: Rng) -> Iterator[JobArrival]:
    """So many jobs at once, the tenants taking turns."""
    for i in range(num_jobs):
        yield _draw_arrival(crowd, at_s + rng.uniform(0.0, within_s), i % crowd.num_tenants, rng)


def _draw_arrival(crowd: Crowd, at_s: float, tenant: int, rng: Rng) -> JobArrival:
    cost = rng.uniform(*crowd.cost)
    name = TenantId(f"{crowd.lane}-{tenant}")
    return JobArrival(at_s=at_s, lane=crowd.lane, tenant=name, cost=cost, model=crowd.model)


def scale_load(crowd: Crowd, part: float, machine: Machine) -> Crowd:
    """The crowd, submitting as much as keeps this part of the machine busy."""
    mean = sum(crowd.cost) / 2
    return replace(crowd, rate=part * machine.capacity / mean)


PRO = Crowd(lane=Tier.PRO, num_tenants=12, rate=1.0, cost=(20.0, 50.0))
PAID = Crowd(lane=Tier.PAID, num_tenants=20, rate=1.0, cost=(20.0, 40.0))
FREE = Crowd(lane=Tier.FREE, num_tenants=50, rate=1.0, cost=(10.0, 30.0))


def free_rush(rng: Rng, machine: Machine = TWO_GPUS) -> list[JobArrival]:
    """500 free jobs within ten seconds, a minute into steady traffic: Pro 40 % of the machine, Paid an eighth."""
    return [
        *arrive_steadily(scale_load(PRO, 0.4, machine), 0.0, 600.0, rng),
        *arrive_steadily(scale_load(PAID, 0.125, machine), 0.0, 600.0, rng),
        *arrive_at_once(FREE, 500, 60.0, 10.0, rng),
    ]


def saturation(rng: Rng, machine: Machine = TWO_GPUS) -> list[JobArrival]:
    """Every lane asks for more than the whole machine, for ten minutes."""
    crowds = [scale_load(crowd, 1.2, machine) for crowd in (PRO, PAID, FREE)]
    return [arrival for crowd in crowds for arrival in arrive_steadily(crowd, 0.0, 600.0, rng)]
