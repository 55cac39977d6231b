"""Job events inside one process. A watcher may miss events (slow, restarted): rows are the truth, events only wake."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from mezzotint.background import BackgroundTasks
from mezzotint.domain.event import Changed, JobEvent, Progressed
from mezzotint.domain.ids import JobId, OwnerId, TenantId
from mezzotint.domain.job import Job

T = TypeVar("T")
MAX_PENDING = 256
"""Events kept for one slow watcher; older ones are dropped, since each later one replaces them."""
MAX_PROGRESS = 256
"""Jobs whose last progress, with its preview, is remembered for those who come in the middle."""
Pending = asyncio.Queue[tuple[JobId, JobEvent]]


class EventBus:
    """Publish and subscribe by job and by tenant, and a bell that wakes the claim loop."""

    def __init__(self) -> None:
        self._watchers: dict[JobId, set[asyncio.Queue[JobEvent]]] = defaultdict(set)
        self._tenants: dict[TenantId, dict[Pending, frozenset[OwnerId] | None]] = defaultdict(dict)
        self._owners: dict[JobId, tuple[TenantId, OwnerId]] = {}
        self._progress: dict[JobId, Progressed] = {}
        self.work = asyncio.Event()

    def publish(self, job: JobId, event: JobEvent) -> None:
        if isinstance(event, Changed):
            self._remember(event)
        elif isinstance(event, Progressed):
            self._progress.pop(job, None)
            self._progress[job] = event
            if len(self._progress) > MAX_PROGRESS:  # a cancelled job's worker tells of one step that nobody takes away
                del self._progress[next(iter(self._progress))]
        for queue in self._watchers.get(job, ()):
            _put(queue, event)
        whose = (event.job.tenant, event.job.owner) if isinstance(event, Changed) else self._owners.get(job)
        if whose is not None:
            for pending, owners in self._tenants.get(whose[0], {}).items():
                if owners is None or whose[1] in owners:
                    _put(pending, (job, event))

    def _remember(self, event: Changed) -> None:
        """Note the owner of an open job, so that its progress reaches the owner, and forget its last progress."""
        self._progress.pop(event.job.id, None)
        if event.job.state.is_final:
            self._owners.pop(event.job.id, None)
        else:
            self._owners[event.job.id] = (event.job.tenant, event.job.owner)

    def own(self, job: Job) -> None:
        """Say whose an open job is that was changed before this process began."""
        self._owners.setdefault(job.id, (job.tenant, job.owner))

    def progress_of(self, job: JobId) -> Progressed | None:
        """The last progress of a running job, for one who comes in the middle."""
        return self._progress.get(job)

    def ring(self) -> None:
        """Work waits: wake the claim loop, wherever it is."""
        self.work.set()

    @asynccontextmanager
    async def running(self, background: BackgroundTasks) -> AsyncIterator[None]:
        """Entered while the process works."""
        yield

    def is_watched(self, job: JobId) -> bool:
        """Say whether anybody would hear of the job. May be asked from any thread."""
        if job in self._watchers:
            return True
        whose = self._owners.get(job)
        watching = () if whose is None else tuple(self._tenants.get(whose[0], {}).values())
        return any(owners is None or (whose is not None and whose[1] in owners) for owners in watching)

    def watched_jobs(self) -> list[JobId]:
        """Jobs that somebody watches one by one."""
        return list(self._watchers)

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

    @contextmanager
    def watch_all(self, tenant: TenantId, owners: frozenset[OwnerId] | None = None) -> Iterator[Pending]:
        """The events of the tenant's jobs from now on. owners: whose in it; None: everybody's."""
        pending: Pending = asyncio.Queue(MAX_PENDING)
        self._tenants[tenant][pending] = owners
        try:
            yield pending
        finally:
            self._tenants[tenant].pop(pending, None)
            if not self._tenants[tenant]:
                del self._tenants[tenant]


def _put(queue: asyncio.Queue[T], event: T) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(event)
