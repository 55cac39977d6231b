"""Read how busy the pools are from the workers' rows, round after round."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mezzotint.domain.fleet.fleet_worker import FleetWorker
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.policy.fleet.load_plan import PoolReading

SMOOTH_S = 30.0
"""The time that a change of use takes to count for two thirds."""
FIRST_START_S = 60.0
"""From a decision to a ready worker, before one was measured."""
NO_NODE_AFTER = timedelta(minutes=2)
"""A worker that waits longer for a node was a wish that is not met."""


@dataclass(slots=True)
class PoolMeter:
    """The uses of the pools lately. A controller that starts anew begins with what it sees then."""

    _used: dict[str, float] = field(default_factory=dict)
    _start_s: dict[str, float] = field(default_factory=dict)
    _read_at: datetime | None = None

    def read(self, fleet: Fleet, workers: Sequence[FleetWorker], now: datetime) -> Mapping[str, PoolReading]:
        """The reading of every pool."""
        passed_s = 0.0 if self._read_at is None else (now - self._read_at).total_seconds()
        gain = 1.0 - math.exp(-max(passed_s, 0.0) / SMOOTH_S)
        self._read_at = now
        return {pool.name: self._read_pool(pool.name, workers, gain, now) for pool in fleet.pools}

    def _read_pool(self, pool: str, workers: Iterable[FleetWorker], gain: float, now: datetime) -> PoolReading:
        mine = [worker for worker in workers if worker.pool == pool]
        ready = [worker for worker in mine if worker.state is FleetWorkerState.READY]
        starting = [worker for worker in mine if worker.state is FleetWorkerState.STARTING]
        used = sum(worker.num_running > 0 for worker in ready) / len(ready) if ready else 0.0
        before = self._used.get(pool, used)
        self._used[pool] = before + gain * (used - before)
        if ready:
            newest = max(ready, key=lambda worker: worker.changed_at)
            self._start_s[pool] = (newest.changed_at - newest.created_at).total_seconds()
        return PoolReading(
            pool=pool,
            num_ready=len(ready),
            num_starting=len(starting),
            num_draining=sum(worker.state is FleetWorkerState.DRAINING for worker in mine),
            utilisation=self._used[pool],
            start_s=self._start_s.get(pool, FIRST_START_S),
            can_grow=not any(one.seen_at is None and now - one.created_at > NO_NODE_AFTER for one in starting),
        )
