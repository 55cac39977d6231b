"""Estimates how long queued jobs wait, from the number of jobs that ended in the last minutes."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mezzotint.domain.job import Job, JobState
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.forecast import forecast_wait_s
from mezzotint.store import Jobs

PERIOD = timedelta(minutes=5)
FRESH_S = 5.0


@dataclass(slots=True, kw_only=True)
class Forecast:
    jobs: Jobs
    _read_at: float = field(default=float("-inf"))
    _ended_per_s: float = 0.0
    _waiting: frozenset[Tier] = frozenset()

    async def wait_s(self, job: Job, position: int | None, now: datetime) -> float | None:
        """Estimate the seconds until a job begins; None unless it is queued and jobs have been ending."""
        if position is None:
            return None
        if time.monotonic() - self._read_at > FRESH_S:
            self._read_at = time.monotonic()
            self._ended_per_s = await self.jobs.num_ended_since(now - PERIOD) / PERIOD.total_seconds()
            backlog = await self.jobs.backlog()
            self._waiting = frozenset(tier for tier, state, *_ in backlog if state is JobState.QUEUED)
        estimate = forecast_wait_s(position, job.tier, self._waiting, self._ended_per_s)
        return None if estimate is None else round(estimate, 1)
