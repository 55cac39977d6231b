"""Workers that claim at once are served in one transaction, one after the other as they came."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.job import Job
from mezzotint.store.candidates import Seeker
from mezzotint.store.claims import MAX_LOOKS, Outrun, take
from mezzotint.store.database import Database
from mezzotint.store.gathering import Gathering
from mezzotint.store.rows import taken_of

MOST = 16
"""Claims of one transaction: others wait for the rows of the shares meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """lease_s: of each lease. most: jobs that there is room for."""

    seeker: Seeker
    now: datetime
    lease_s: float
    most: int


class Claimants:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._gathering = Gathering[Claimant, list[Job]]("claims", self._write, MOST, gives_up=True)

    async def serve(self, claimant: Claimant) -> list[Job]:
        """The jobs that run under its leases from now on. Raises: StorageUnavailable."""
        return await self._gathering.go(claimant)

    async def _write(self, together: Sequence[Claimant]) -> list[list[Job]]:
        for _ in range(MAX_LOOKS):
            with suppress(Outrun):
                async with self._database.write() as connection:
                    return await _serve(connection, together)
        return [[] for _ in together]


async def _serve(connection: AsyncConnection, together: Sequence[Claimant]) -> list[list[Job]]:
    """Those that seek the same share what one look finds."""
    now = max(claimant.now for claimant in together)
    alike: dict[tuple[Seeker, float], list[int]] = defaultdict(list)
    for number, claimant in enumerate(together):
        alike[claimant.seeker, claimant.lease_s].append(number)
    served: list[list[Job]] = [[] for _ in together]
    for (seeker, lease_s), numbers in alike.items():
        rows = await take(connection, seeker, now, lease_s, sum(together[number].most for number in numbers))
        jobs = await taken_of(connection, rows)
        for number in numbers:
            most = together[number].most
            served[number], jobs = jobs[:most], jobs[most:]
    return served
