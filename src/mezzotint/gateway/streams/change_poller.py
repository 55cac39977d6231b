"""One look a second at all jobs that are watched, however many watch them.

Events wake watchers at once, but one can be lost (another process, a cut connection). Whoever watches a job would
have to read its row again and again; 2,000 idle streams would be 2,000 reads a second. Here one query asks for what
tells of a change, and only the watchers of a changed job are woken to read it.
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
        """Wake the watchers of what changed since the last look. A job not seen before counts as changed."""
        watched = self._bus.watched_jobs()
        now: dict[JobId, tuple[str, int]] = {}
        for start in range(0, len(watched), AT_ONCE):
            now |= await self._changes.versions(watched[start : start + AT_ONCE])
        for job, version in now.items():
            if self._seen.get(job) != version:
                self._bus.publish(job, Stale())
        self._seen = now
