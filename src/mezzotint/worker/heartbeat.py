"""The leases are kept alive and the steps reached are written; what was cancelled or lost is let go."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.ids import JobId
from mezzotint.worker.device import Device
from mezzotint.worker.holding import Holding
from mezzotint.worker.orders import Cancel

log = structlog.get_logger()
TICK_S = 0.25
"""How often reached steps are written and lost leases noticed."""
FAULT_S = 1.0
"""Pause after a heartbeat that could not be written."""


@dataclass(slots=True)
class Heartbeat:
    holding: Holding
    device: Device
    _written: dict[JobId, int] = field(default_factory=dict)
    _renewed_at: float = 0.0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.holding.cadence.uptime.tick(is_working=bool(self.holding.held))
            try:
                await self._renew()
            except StorageUnavailable as error:
                log.warning("heartbeat missed", why=str(error))
                await asyncio.sleep(FAULT_S)
            except Exception as error:  # without heartbeats every job of the worker would be lost
                log.error("heartbeat failed", exc_info=error)
                await asyncio.sleep(FAULT_S)

    async def _renew(self) -> None:
        holding = self.holding
        lease_s = holding.habits.lease_s
        steps = {job: held.step for job, held in holding.held.items() if held.step != self._written.get(job)}
        is_due = time.monotonic() - self._renewed_at > lease_s / 3
        if not holding.held or not (steps or is_due):
            return
        leases = {job: held.lease for job, held in holding.held.items()}
        alive = await holding.desk.jobs.renew(leases, steps, holding.now() + timedelta(seconds=lease_s))
        self._renewed_at, self._written = time.monotonic(), {job: held.step for job, held in holding.held.items()}
        for job in set(leases) - alive:
            held = holding.held.pop(job, None)
            if held is not None and held.lease == leases[job]:
                holding.lost[job] = held
                self.device.order(Cancel(job=job))
                await holding.desk.jobs.clear_suspicion(job, held.lease)
