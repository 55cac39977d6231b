"""Tell the store that this worker is alive, with its labels, and ask whether it is to take no more jobs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from mezzotint.domain.ids import WorkerId
from mezzotint.store import DrainWish, WorkerHeartbeat, WorkerLabels, Workers
from mezzotint.worker.fleet.health import HealthCounts

log = structlog.get_logger()
SEEN_S = 5.0
LOOK_S = 1.0
MAX_DRAIN_S = 60.0
"""A worker that is to end waits so long for its runs to be put aside; then it stops as by a signal, which hands back
what is left."""


@dataclass(slots=True)
class Drain:
    """on_end: called once when the worker is to end and holds no run any more; None: its process stays.

    device: the identity of its device, once that is chosen; empty: its health is not judged. health: its counts.
    siblings: see `WorkerOffer`.
    """

    workers: Workers
    worker: WorkerId
    now: Callable[[], datetime]
    labels: WorkerLabels = field(default_factory=WorkerLabels)
    on_end: Callable[[], None] | None = None
    device: str = ""
    siblings: frozenset[WorkerId] = frozenset()
    health: HealthCounts = field(default_factory=HealthCounts)
    drained_at: datetime | None = None
    _wish: DrainWish | None = None
    _seen_at: float | None = None
    _looked_at: float | None = None
    _wanted_at: float | None = None

    @property
    def is_drained(self) -> bool:
        """Say whether the worker is wanted to take no jobs."""
        return self._wish is not None

    def name_device(self, device: str) -> None:
        """Say which device the worker uses, before its first claim: it may be quarantined."""
        self.device, self._seen_at, self._looked_at = device, None, None

    async def is_wanted(self) -> bool:
        """Ask the store once a second at most. Raises: StorageUnavailable."""
        now = time.monotonic()
        if self._seen_at is None or now - self._seen_at >= SEEN_S:
            await self.record_heartbeat(self.drained_at)
        if self._looked_at is None or now - self._looked_at >= LOOK_S:
            wish = await self.workers.read_drain_wish(self.worker, self.device)
            if self.labels.pool:
                self.siblings = await self.workers.read_siblings(self.labels, self.now())
            if (wish is None) != (self._wish is None):
                log.info("worker takes jobs again" if wish is None else "worker is drained", why=wish and wish.reason)
                self._wanted_at = None if wish is None else now
            self._looked_at, self._wish = now, wish
            if wish is None and self.drained_at is not None:
                await self.record_heartbeat(None)
        return self.is_drained

    async def settle(self, num_held: int) -> None:
        """Note that a drained worker holds no run any more, and end it where that is wanted.

        Raises: StorageUnavailable.
        """
        if self._wish is None or self._wanted_at is None:
            return
        if num_held == 0 and self.drained_at is None:
            await self.record_heartbeat(self.now())
        is_over = num_held == 0 or time.monotonic() - self._wanted_at > MAX_DRAIN_S
        on_end = self.on_end
        if self._wish.ends and is_over and on_end is not None:
            self.on_end = None
            on_end()

    async def record_heartbeat(self, drained_at: datetime | None) -> None:
        """drained_at: since when it holds no run and takes none. Raises: StorageUnavailable."""
        report = self.health.report()
        beat = WorkerHeartbeat(labels=self.labels, drained_at=drained_at, device=self.device, report=report)
        await self.workers.record_heartbeat(self.worker, self.now(), beat)
        self.drained_at, self._seen_at = drained_at, time.monotonic()
