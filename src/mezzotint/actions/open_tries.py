"""First tries that are being admitted: a retry waits for those of its content, so that it finds their jobs.

A client may give up on a request and send it again before its jobs are on the disk.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mezzotint.domain.ids import TenantId


@dataclass(slots=True)
class OpenTries:
    """The first tries at this gateway, by tenant and series; each is an event that is set at its end."""

    _ends: dict[tuple[TenantId, str], list[asyncio.Event]] = field(default_factory=lambda: defaultdict(list))

    @asynccontextmanager
    async def take_turn(self, tenant: TenantId, series: str, *, is_first: bool) -> AsyncIterator[None]:
        """Enter at once as a first try, or as a retry after those that are here."""
        key = (tenant, series)
        if not is_first:
            for end in list(self._ends.get(key, ())):
                await end.wait()
            yield
            return
        end = asyncio.Event()
        self._ends[key].append(end)
        try:
            yield
        finally:
            end.set()
            self._ends[key].remove(end)
            if not self._ends[key]:
                del self._ends[key]
