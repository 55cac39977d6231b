"""Ask the store whether operators drained this worker, and tell it that the worker is alive."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from mezzotint.domain.ids import WorkerId
from mezzotint.store import Workers

log = structlog.get_logger()
SEEN_S = 30.0
LOOK_S = 1.0


@dataclass(slots=True)
class Drain:
    workers: Workers
    worker: WorkerId
    now: Callable[[], datetime]
    is_drained: bool = False
    _seen_at: float | None = None
    _looked_at: float | None = None

    async def is_wanted(self) -> bool:
        """Ask the store once a second at most. Raises: StorageUnavailable."""
        now = time.monotonic()
        if self._seen_at is None or now - self._seen_at >= SEEN_S:
            await self.workers.record_heartbeat(self.worker, self.now())
            self._seen_at = now
        if self._looked_at is None or now - self._looked_at >= LOOK_S:
            is_drained = await self.workers.is_drained(self.worker)
            if is_drained != self.is_drained:
                log.info("worker is drained" if is_drained else "worker takes jobs again")
            self._looked_at, self.is_drained = now, is_drained
        return self.is_drained
