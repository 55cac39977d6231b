"""Polls all watched jobs for changes in one query a second.

Events wake watchers at once, but one can be lost (another process, a cut connection). If each watcher read its row
every second, 2,000 idle streams would read 2,000 rows a second. Here one query reads the versions of all watched jobs,
and only the watchers of a changed job are woken.
"""

from mezzotint.domain.event import Stale
from mezzotint.domain.ids import JobId
from mezzotint.store import Changes, EventBus

POLL_EVERY_S = 1.0
AT_ONCE = 500
"""Ids in one query."""


class ChangePoller:
    def __init__(self, bus: EventBus, changes: Changes) -> None:
        self._bus, self._changes = bus, changes
        self._seen: dict[JobId, tuple[str, int]] = {}

    async def poll(self) -> None:
        """Wake the watchers of jobs that changed since the last poll. A job not seen before counts as changed."""
        watched = self._bus.watched_jobs()
        now: dict[JobId, tuple[str, int]] = {}
        for start in range(0, len(watched), AT_ONCE):
            now |= await self._changes.versions(watched[start : start + AT_ONCE])
        for job, version in now.items():
            if self._seen.get(job) != version:
                self._bus.publish(job, Stale())
        self._seen = now
