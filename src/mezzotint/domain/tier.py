"""A tier names a bundle of limits; a lane is the queue of a tier."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never


class Tier(StrEnum):
    FREE = "free"
    PAID = "paid"
    PRO = "pro"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tier may ask for.

    step_budget: most sampler steps of one job.
    weight: share of the machine against the other lanes when all are backlogged.
    max_open_jobs: most jobs of one tenant that are queued or running.
    """

    step_budget: int
    weight: int
    max_open_jobs: int


def limits_of(tier: Tier) -> Limits:
    """The limits of a tier, as the mission fixes them."""
    match tier:
        case Tier.FREE:
            return Limits(step_budget=30, weight=1, max_open_jobs=20)
        case Tier.PAID:
            return Limits(step_budget=50, weight=2, max_open_jobs=100)
        case Tier.PRO:
            return Limits(step_budget=80, weight=4, max_open_jobs=400)
        case _ as never:
            assert_never(never)
