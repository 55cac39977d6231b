"""Decide which waiting jobs expire: those older than their tier allows."""

from datetime import datetime, timedelta

from mezzotint.domain.errors import WaitedTooLong
from mezzotint.domain.job import JobError
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.clock import ClockHistory

STEADY = ClockHistory()
"""A clock that never stepped."""


def expiry_cutoff(lane: Tier, now: datetime, clock: ClockHistory = STEADY) -> datetime | None:
    """The instant before which a waiting job of the lane must have been created to expire; None: no job expires.

    A job that has begun does not expire: its work would be lost.
    """
    after_s = limits_of(lane).expires_after_s
    if after_s is None:
        return None
    age = timedelta(seconds=after_s)
    return now - age - clock.overstatement(age)


def explain_expiry(lane: Tier) -> JobError:
    """Make the error that the owner of an expired job reads."""
    minutes = (limits_of(lane).expires_after_s or 0.0) / 60
    return JobError.of(WaitedTooLong(f"The job waited more than {minutes:.0f} minutes in the {lane} lane."))
