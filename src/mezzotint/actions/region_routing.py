"""Tell a worker the regions whose jobs it may claim: its own, and those that spill over to it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from mezzotint.domain.fleet.desired_fleet import FleetPhase
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.regions import choose_places
from mezzotint.policy.fleet.validation import read_document
from mezzotint.store import FleetRows, Regions

log = structlog.get_logger()
KEPT = timedelta(seconds=5)
"""The rows that were read are read again after this time."""


@dataclass(slots=True, kw_only=True)
class RegionRouting:
    """region: of the workers that ask; not empty."""

    region: str
    regions: Regions
    rows: FleetRows
    _places: dict[tuple[Tier, str], str] | None = field(default=None)
    _read_at: datetime | None = None

    async def find_places(self, now: datetime) -> frozenset[tuple[Tier, str]] | None:
        """Lanes and regions; None: all. Raises: StorageUnavailable."""
        if self._read_at is None or not timedelta() <= now - self._read_at < KEPT:
            await self._read(now)
            self._read_at = now
        return None if self._places is None else frozenset(self._places)

    async def _read(self, now: datetime) -> None:
        homes = await self.regions.read_homes()
        places = None
        if homes - {self.region}:
            view = await self.regions.read(homes | {self.region}, await read_fleet(self.rows), now)
            places = choose_places(view, self.region)
        before = self._places or {}
        for (lane, home), reason in (places or {}).items():
            if home != self.region and (lane, home) not in before:
                log.info("jobs of another region spill over", region=home, to=self.region, lane=lane, why=reason)
        for lane, home in before.keys() - (places or {}).keys():
            log.info("jobs of another region spill over no more", region=home, to=self.region, lane=lane)
        self._places = places


async def read_fleet(rows: FleetRows) -> Fleet | None:
    """The fleet that is up."""
    wanted = await rows.read()
    found = None if wanted is None or wanted.phase is not FleetPhase.UP else read_document(wanted.document)
    return found if isinstance(found, Fleet) else None
