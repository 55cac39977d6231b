"""The leases are kept alive and the steps reached are written; what was cancelled or lost is let go."""

import time
from dataclasses import dataclass, field
from datetime import timedelta

from mezzotint.domain.ids import JobId
from mezzotint.worker.device import DeviceThread
from mezzotint.worker.leased_jobs import LeasedJobs
from mezzotint.worker.messages import Cancel

HEARTBEAT_EVERY_S = 0.25
"""How often reached steps are written and lost leases noticed."""


@dataclass(slots=True)
class Heartbeat:
    leased: LeasedJobs
    device: DeviceThread
    _written: dict[JobId, int] = field(default_factory=dict)
    _renewed_at: float = 0.0

    async def renew_leases(self) -> None:
        """Raises: StorageUnavailable."""
        self.leased.interval.uptime.tick(is_working=bool(self.leased.jobs))
        leased = self.leased
        lease_s = leased.settings.lease_s
        steps = {job: held.step for job, held in leased.jobs.items() if held.step != self._written.get(job)}
        is_due = time.monotonic() - self._renewed_at > lease_s / 3
        if not leased.jobs or not (steps or is_due):
            return
        leases = {job: held.lease for job, held in leased.jobs.items()}
        alive = await leased.desk.jobs.renew(leases, steps, leased.now() + timedelta(seconds=lease_s))
        self._renewed_at, self._written = time.monotonic(), {job: held.step for job, held in leased.jobs.items()}
        for job in set(leases) - alive:
            held = leased.jobs.pop(job, None)
            if held is not None and held.lease == leases[job]:
                leased.lost[job] = held
                self.device.send(Cancel(job=job))
                await leased.desk.jobs.clear_suspicion(job, held.lease)
