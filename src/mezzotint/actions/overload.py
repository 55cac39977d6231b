"""Decide whether free jobs are taken at the moment. A submission looks at the queue anew every few seconds.

Each process remembers for itself whether it refuses; one that starts between the two marks begins by taking jobs.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from mezzotint.domain.refusal import Refusal
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.overload import Load, Pressure, reassess_load, refuse_overload

log = structlog.get_logger()
EMPTY = Pressure(num_queued=0, p99_wait_s=0.0)
LOOK_S = 5.0
"""Old enough to look again: a rush of submissions reads the queue's length once in so long."""


@dataclass(slots=True)
class Overload:
    """read: the queue's pressure at an instant."""

    read: Callable[[datetime], Awaitable[Pressure]]
    load: Load = Load.NORMAL
    pressure: Pressure = EMPTY
    looked_at: datetime | None = None

    async def refusal(self, lane: Tier, now: datetime) -> Refusal | None:
        """The refusal of a new job of the lane, if it is not taken now. Raises: StorageUnavailable."""
        if self.looked_at is None or abs((now - self.looked_at).total_seconds()) >= LOOK_S:  # a clock may be set back
            self.looked_at = now  # before the reading: others that come meanwhile need not read, too
            self.pressure, before = await self.read(now), self.load
            self.load = reassess_load(before, self.pressure)
            if self.load is not before:
                p99_wait_s = round(self.pressure.p99_wait_s, 1)
                log.warning("load changed", load=self.load, queued=self.pressure.num_queued, p99_wait_s=p99_wait_s)
        return refuse_overload(self.load, lane, self.pressure)
