"""A worker that runs in a thread of its actor: how far it is, and how it is stopped."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mezzotint.policy.fleet.reconcile import ActorReport, WorkerStage


@dataclass(slots=True)
class WorkerControl:
    """The worker's own thread calls `attach` and `end`, the actor's calls `report` and `stop`."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _loop: asyncio.AbstractEventLoop | None = None
    _stop: Callable[[], None] | None = None
    _look: Callable[[], ActorReport] | None = None
    _ended: ActorReport | None = None
    _is_stop_wanted: bool = False

    def attach(self, stop: Callable[[], None], look: Callable[[], ActorReport]) -> None:
        """The worker runs in this thread's loop from here on. stop: called in that loop. look: called in any thread."""
        with self._lock:
            self._loop, self._stop, self._look = asyncio.get_running_loop(), stop, look
            if self._is_stop_wanted:
                stop()

    def stop(self) -> None:
        """As the first SIGTERM does: claim nothing more, put the runs aside with checkpoints, end."""
        with self._lock:
            if self._is_stop_wanted or self._ended is not None:
                return
            self._is_stop_wanted = True
            if self._loop is not None and self._stop is not None:
                self._loop.call_soon_threadsafe(self._stop)

    def end(self, error: BaseException | None) -> None:
        """The worker has ended. error: what ended it; None: it was stopped."""
        with self._lock:
            last = self._look() if self._look is not None else ActorReport(stage=WorkerStage.STARTING)
            why = None if error is None else f"{type(error).__name__}: {error}"[:500]
            self._ended = replace(last, stage=WorkerStage.ENDED, num_running=0, error=why)
            self._loop = self._stop = self._look = None

    def report(self) -> ActorReport:
        with self._lock:
            if self._ended is not None:
                return self._ended
            return self._look() if self._look is not None else ActorReport(stage=WorkerStage.STARTING)
