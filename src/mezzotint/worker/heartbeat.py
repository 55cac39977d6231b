"""Renew the leases, write the steps reached, and cancel the runs whose leases are lost."""

import time
from dataclasses import dataclass, field
from datetime import timedelta

from mezzotint.domain.ids import JobId
from mezzotint.worker.job_states import JobAction, JobMessage
from mezzotint.worker.leased_jobs import LeasedJobs
from mezzotint.worker.messages import Cancel

HEARTBEAT_EVERY_S = 0.25
"""Reached steps are written, and lost leases noticed, so often."""


@dataclass(slots=True)
class Heartbeat:
    jobs: LeasedJobs
    _written: dict[JobId, int] = field(default_factory=dict)
    _renewed_at: float = 0.0

    async def renew_leases(self) -> None:
        """Renew when a step is new, or when a third of the lease's time is over. Raises: StorageUnavailable."""
        jobs, held = self.jobs, {leased.job.id: leased for leased in self.jobs.held()}
        jobs.interval.uptime.tick(is_working=bool(held))
        lease_s = jobs.settings.lease_s
        steps = {id: leased.step for id, leased in held.items() if leased.step != self._written.get(id)}
        is_due = time.monotonic() - self._renewed_at > lease_s / 3
        if not held or not (steps or is_due):
            return
        leases = {id: leased.lease for id, leased in held.items()}
        alive = await jobs.backing.jobs.renew(leases, steps, jobs.now() + timedelta(seconds=lease_s))
        self._renewed_at = time.monotonic()
        self._written = {id: leased.step for id, leased in held.items() if id in alive}
        for id in set(leases) - alive:
            if jobs.by_id.get(id) is not held[id]:
                continue  # it ended meanwhile, or was claimed anew
            if jobs.receive(held[id], JobMessage.LEASE_LOST) is JobAction.CANCEL:
                jobs.send(Cancel(job=id))
            await jobs.backing.jobs.clear_suspicion(id, leases[id])
