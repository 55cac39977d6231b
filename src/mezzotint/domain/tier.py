"""A tier names a bundle of limits; a lane is the queue of a tier."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never


class Tier(StrEnum):
    FREE = "free"
    PAID = "paid"
    PRO = "pro"

    @property
    def rank(self) -> int:
        """Order of the tiers: what ranks higher may ask for more."""
        return list(Tier).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a tier and the service it may expect.

    step_budget: most sampler steps of one job.
    weight: share of the machine against the other lanes when all are backlogged.
    max_open_jobs: most jobs of one tenant that are queued or running.
    requests_per_minute, request_burst: how fast one tenant may call the API, and how many calls may come at once.
    max_streams: most event streams, sockets and long polls of one tenant on one gateway.
    burst: jobs of one tenant that run at once before others of the lane go first.
    target_wait_s: what 95 of 100 jobs should wait at most.
    max_wait_s: a job that has waited so long goes by an express: oldest first, with a bounded part of a lane's weight.
    expires_after_s: a job that has waited so long is given up and says so; None: never.
    quota_s: GPU-seconds a month; what is beyond goes to the free lane. None: no quota.
    """

    step_budget: int
    weight: int
    max_open_jobs: int
    requests_per_minute: int
    request_burst: int
    max_streams: int
    burst: int
    target_wait_s: float
    max_wait_s: float
    expires_after_s: float | None
    quota_s: float | None


FREE = Limits(
    step_budget=30,
    weight=1,
    max_open_jobs=20,
    requests_per_minute=300,
    request_burst=100,
    max_streams=20,
    burst=2,
    target_wait_s=120,
    max_wait_s=30,
    expires_after_s=3600,
    quota_s=None,
)
PAID = Limits(
    step_budget=50,
    weight=2,
    max_open_jobs=100,
    requests_per_minute=1200,
    request_burst=300,
    max_streams=100,
    burst=4,
    target_wait_s=30,
    max_wait_s=300,
    expires_after_s=None,
    quota_s=36_000,
)
PRO = Limits(
    step_budget=80,
    weight=4,
    max_open_jobs=400,
    requests_per_minute=6000,
    request_burst=1000,
    max_streams=2500,
    burst=8,
    target_wait_s=5,
    max_wait_s=60,
    expires_after_s=None,
    quota_s=144_000,
)


def limits_of(tier: Tier) -> Limits:
    """The limits of a tier."""
    match tier:
        case Tier.FREE:
            return FREE
        case Tier.PAID:
            return PAID
        case Tier.PRO:
            return PRO
        case _ as never:
            assert_never(never)
