"""Refuse a job that no worker can ever run, while a fleet is up."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mezzotint.actions.region_routing import read_fleet
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.load_plan import reachable_regions
from mezzotint.policy.fleet.placement import place_job
from mezzotint.store import WorkerLabels, Workers
from mezzotint.store.fleet.fleet_rows import FleetRows

KEPT = timedelta(seconds=5)
"""The fleet's file and the list of workers are read again after this time."""


@dataclass(slots=True, kw_only=True)
class FleetPlacement:
    """Knows the fleet that is wanted, and the workers that live, be they of the fleet or not."""

    rows: FleetRows
    workers: Workers
    _fleet: Fleet | None = None
    _labels: list[WorkerLabels] = field(default_factory=list)
    _read_at: datetime | None = None

    async def find_refusal(
        self, model: str, lane: Tier, tenant: TenantId, now: datetime, region: str = ""
    ) -> Refusal | None:
        """None: some pool may run the job, or some worker that lives, perhaps later. region: of the gateway; empty:
        none. Raises: StorageUnavailable."""
        if self._read_at is None or not timedelta() <= now - self._read_at < KEPT:
            await self._read(now)
        regions = list(reachable_regions(self._fleet, region)) if self._fleet is not None and region else None
        has_worker = any(
            (regions is None or labels.region in ("", region, *regions))
            and (labels.models is None or model in labels.models)
            and lane in labels.lanes
            and (labels.tenants is None or tenant in labels.tenants)
            for labels in self._labels
        )
        return None if self._fleet is None or has_worker else place_job(self._fleet, model, lane, tenant, regions)

    async def _read(self, now: datetime) -> None:
        self._fleet = await read_fleet(self.rows)
        self._labels = [] if self._fleet is None else [status.labels for status in await self.workers.all(now)]
        self._read_at = now
