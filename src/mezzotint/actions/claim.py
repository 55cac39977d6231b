"""A worker takes the next jobs under leases."""

from datetime import datetime

from mezzotint.actions.finish import Desk
from mezzotint.domain.event import Changed
from mezzotint.domain.job import Job
from mezzotint.store import WorkerOffer


async def claim(desk: Desk, offer: WorkerOffer, now: datetime, lease_s: float, most: int = 1) -> list[Job]:
    """Up to `most` jobs that fair share picks, now running under the worker's leases; none when nothing waits."""
    jobs = await desk.jobs.claim(offer, now, lease_s, most)
    for job in jobs:
        desk.metrics.claimed.labels(lane=job.lane).inc()
        desk.bus.publish(job.id, Changed(job=job))
    return jobs
