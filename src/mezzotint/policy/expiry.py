"""Jobs that waited so long that nobody expects them any more end as expired, and say so."""

from datetime import datetime, timedelta

from mezzotint.domain.errors import WaitedTooLong
from mezzotint.domain.job import JobError
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.clock import ClockHistory

STEADY = ClockHistory()
"""A clock that never stepped."""


def expiry_cutoff(lane: Tier, now: datetime, clock: ClockHistory = STEADY) -> datetime | None:
    """Waiting jobs of the lane that were created before this instant expire; None: none does."""
    after_s = limits_of(lane).expires_after_s
    if after_s is None:
        return None
    age = timedelta(seconds=after_s)
    return now - age - clock.overstated(age)


def has_expired(lane: Tier, created_at: datetime, now: datetime) -> bool:
    """Whether a waiting job is given up. One that has begun is not: its work would be lost."""
    before = expiry_cutoff(lane, now)
    return before is not None and created_at < before


def explain_expiry(lane: Tier) -> JobError:
    """What its owner reads."""
    minutes = (limits_of(lane).expires_after_s or 0.0) / 60
    return JobError.of(WaitedTooLong(f"The job waited more than {minutes:.0f} minutes in the {lane} lane."))
