"""Overload: new free jobs are refused, with the time to come back, until the queue is short again.

Two marks, not one, so that the answer does not flutter: it takes a long queue *and* long waits to begin, and a short
queue to end.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.tier import Tier

SHED_ABOVE_QUEUED = 500
SHED_ABOVE_P99_WAIT_S = 180.0
RESTORE_BELOW_QUEUED = 200
MIN_RETRY_AFTER_S = 10
MAX_RETRY_AFTER_S = 600


class Load(StrEnum):
    NORMAL = "normal"
    SHEDDING = "shedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """The fill of the queue. p99_wait_s: 99 of 100 jobs have waited at most that long. drain_per_s: jobs that start a
    second; 0 where it is not known."""

    num_queued: int
    p99_wait_s: float
    drain_per_s: float = 0.0


def reassess_load(load: Load, pressure: Pressure) -> Load:
    """Decide the load; it changes only when the queue passes a mark."""
    match load:
        case Load.NORMAL:
            is_over = pressure.num_queued > SHED_ABOVE_QUEUED and pressure.p99_wait_s > SHED_ABOVE_P99_WAIT_S
            return Load.SHEDDING if is_over else Load.NORMAL
        case Load.SHEDDING:
            return Load.NORMAL if pressure.num_queued < RESTORE_BELOW_QUEUED else Load.SHEDDING
        case _ as never:
            assert_never(never)


def refuse_overload(load: Load, lane: Tier, pressure: Pressure) -> Refusal | None:
    """Refuse a new job of the lane while load is shed. Accepted jobs are never dropped."""
    if load is Load.NORMAL or lane is not Tier.FREE:
        return None
    wait_s = retry_after_s(pressure)
    return Refusal(
        code=RefusalCode.OVERLOADED,
        message=f"Too many jobs wait ({pressure.num_queued}); the free lane takes no more for now.",
        hint=f"Try again in {wait_s} seconds. Jobs already accepted are kept.",
        retry_after_s=wait_s,
    )


def retry_after_s(pressure: Pressure) -> int:
    """Seconds until the queue should be short enough again: at its pace, or, not known, half of what others waited."""
    excess = max(0, pressure.num_queued - RESTORE_BELOW_QUEUED)
    wait_s = excess / pressure.drain_per_s if pressure.drain_per_s > 0.0 else pressure.p99_wait_s / 2
    return math.ceil(min(max(wait_s, MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S))
