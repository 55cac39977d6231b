"""Job events inside one process. A watcher may miss events (slow, restarted): rows are the truth, events only wake."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from mezzotint.domain.event import JobEvent
from mezzotint.domain.ids import JobId

MAX_PENDING = 256
"""Events kept for one slow watcher; older ones are dropped, since each later one replaces them."""


class EventBus:
    """Publish and subscribe by job, and a bell that wakes the claim loop."""

    def __init__(self) -> None:
        self._watchers: dict[JobId, set[asyncio.Queue[JobEvent]]] = defaultdict(set)
        self.work = asyncio.Event()

    def publish(self, job: JobId, event: JobEvent) -> None:
        for queue in self._watchers.get(job, ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def is_watched(self, job: JobId) -> bool:
        """Whether anybody would hear of the job. May be asked from any thread."""
        return job in self._watchers

    @contextmanager
    def watch(self, job: JobId) -> Iterator[asyncio.Queue[JobEvent]]:
        """The job's events from now on. Read the row after entering, so that nothing falls between."""
        queue: asyncio.Queue[JobEvent] = asyncio.Queue(MAX_PENDING)
        self._watchers[job].add(queue)
        try:
            yield queue
        finally:
            self._watchers[job].discard(queue)
            if not self._watchers[job]:
                del self._watchers[job]
