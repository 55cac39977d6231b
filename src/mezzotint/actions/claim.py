"""A worker takes the next jobs under leases."""

from datetime import datetime

from mezzotint.actions.finish import BackingServices
from mezzotint.domain.event import Changed
from mezzotint.domain.job import Job
from mezzotint.store import WorkerOffer


async def claim(
    backing: BackingServices, offer: WorkerOffer, now: datetime, lease_s: float, most: int = 1
) -> list[Job]:
    """Up to `most` jobs that fair share picks, now running under the worker's leases; none when nothing waits."""
    jobs = await backing.jobs.claim(offer, now, lease_s, most)
    for job in jobs:
        backing.metrics.claimed.labels(lane=job.lane).inc()
        if offer.region and job.region not in ("", offer.region):
            backing.metrics.spilled_over.labels(home=job.region, region=offer.region, lane=job.lane).inc()
        backing.bus.publish(job.id, Changed(job=job))
    return jobs
