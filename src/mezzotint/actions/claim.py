"""A worker takes the next job under a lease."""

from datetime import datetime

from mezzotint.actions.finish import Desk
from mezzotint.domain.event import Changed
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import Job
from mezzotint.policy.lane_share import choose


async def claim(desk: Desk, worker: WorkerId, now: datetime, lease_s: float) -> Job | None:
    """The job that fair share picks, now running under this worker's lease; None when nothing waits."""
    job = await desk.jobs.claim(choose, worker, now, lease_s)
    if job is not None:
        desk.metrics.claimed.labels(lane=job.tier).inc()
        desk.bus.publish(job.id, Changed(job=job))
    return job
