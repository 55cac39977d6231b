"""Jobs whose worker is gone go back to the queue, or are given up after too many tries."""

from collections.abc import Sequence
from datetime import datetime

from mezzotint.actions.finish import Desk, finish
from mezzotint.domain.errors import LeaseLost, WorkerLost
from mezzotint.domain.event import Changed
from mezzotint.domain.job import Ending, Job, JobError, JobState


async def recover(desk: Desk, lost: Sequence[Job], max_attempts: int, now: datetime) -> int:
    """Requeue lost jobs, fail those claimed `max_attempts` times. Returns how many were requeued."""
    num_requeued = 0
    for job in lost:
        if job.attempts >= max_attempts:
            await _give_up(desk, job, now)
        elif await requeue(desk, job, "lost"):
            num_requeued += 1
    if num_requeued:
        desk.bus.work.set()
    return num_requeued


async def requeue(desk: Desk, job: Job, reason: str) -> bool:
    """Give a running job back to the queue. Returns whether its lease was still the one in `job`."""
    if job.lease is None or not await desk.jobs.requeue(job.id, job.lease):
        return False
    desk.metrics.requeued.labels(reason=reason).inc()
    row = await desk.jobs.get(job.id)
    if row is not None:
        desk.bus.publish(job.id, Changed(job=row))
    return True


async def _give_up(desk: Desk, job: Job, now: datetime) -> None:
    if job.lease is None:
        return
    error = JobError.of(WorkerLost(f"The worker stopped {job.attempts} times while it ran this job."))
    ending = Ending(state=JobState.FAILED, at=now, timings=job.timings, step=job.step, error=error)
    try:
        await finish(desk, job, job.lease, ending)
    except LeaseLost:
        return  # renewed or ended meanwhile: it is not lost
