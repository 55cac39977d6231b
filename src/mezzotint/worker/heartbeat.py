"""The leases are kept alive and the steps reached are written; what was cancelled or lost is let go."""

import time
from dataclasses import dataclass, field
from datetime import timedelta

from mezzotint.domain.ids import JobId
from mezzotint.worker.device import Device
from mezzotint.worker.holding import Holding
from mezzotint.worker.orders import Cancel

TICK_S = 0.25
"""How often reached steps are written and lost leases noticed."""


@dataclass(slots=True)
class Heartbeat:
    holding: Holding
    device: Device
    _written: dict[JobId, int] = field(default_factory=dict)
    _renewed_at: float = 0.0

    async def renew_leases(self) -> None:
        """Raises: StorageUnavailable."""
        self.holding.cadence.uptime.tick(is_working=bool(self.holding.held))
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
