"""Jobs whose run failed, or whose worker is gone, go back to the queue, or are dead letters after too many tries."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

import structlog

from mezzotint.actions.finish import BackingServices, finish
from mezzotint.domain.errors import LeaseLost, WorkerLost
from mezzotint.domain.event import Changed, Moved
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import Ending, Job, JobError, JobState
from mezzotint.policy.poison import WorkerLoss
from mezzotint.policy.retry import DeadLetter, Failure, Retry, decide_retry

log = structlog.get_logger()


async def requeue_lost(
    backing: BackingServices,
    lost: Sequence[Job],
    max_attempts: int,
    now: datetime,
    me: WorkerId | None = None,
    *,
    is_start: bool = False,
) -> int:
    """Requeue lost jobs; fail those claimed `max_attempts` times, and poison pills. Returns how many were requeued.

    me: who recovers; a worker that was lost is avoided, unless it is this one, started again (`is_start`). A lease of
    its own that ends while it lives is no worker's end.
    """
    num_requeued = 0
    for job in lost:
        assert job.lease is not None, "only running jobs are lost"
        is_mine = job.lease.worker == me
        num_losses = job.num_losses + 1 if is_start or not is_mine else 0
        loss = WorkerLoss(worker=job.lease.worker, job=job.id, at=now)
        failure = Failure(
            fault=WorkerLost("The job's worker ended, or lost its lease, while it ran this job."),
            num_tries=job.attempts,
            worker=None if is_mine else job.lease.worker,
            at=now,
            jitter=random.random(),
            num_losses=num_losses,
            num_other_ends=await backing.jobs.losses.count_other_ends(loss) if job.is_suspect else 0,
        )
        match decide_retry(failure, max_tries=max_attempts):
            case Retry() as retry:
                is_written = await requeue(backing, job, "lost", now, retry=retry)
                num_requeued += is_written
                if is_written and not is_mine:
                    backing.bus.publish(job.id, Moved(job=job.id, reason="its worker ended"))
            case DeadLetter(error=error):
                log.warning("job given up", job=job.id, code=error.code, losses=failure.num_losses)
                is_written = await _give_up(backing, job, error, now)
            case _ as never:
                assert_never(never)
        if is_written and num_losses:
            await backing.jobs.losses.record(loss)
    if num_requeued:
        backing.bus.ring()
    return num_requeued


async def requeue(
    backing: BackingServices, job: Job, reason: str, now: datetime, *, retry: Retry | None = None, gpu_s: float = 0.0
) -> bool:
    """Give a running job back to the queue. Returns whether its lease was still the one in `job`.

    retry: when its run failed. gpu_s: measured in this attempt.
    """
    if job.lease is None or not await backing.jobs.requeue(job.id, job.lease, now, retry=retry, gpu_s=gpu_s):
        return False
    backing.metrics.requeued.labels(reason=reason).inc()
    await publish_row(backing, job.id)
    return True


async def publish_row(backing: BackingServices, job: JobId) -> None:
    """Let the job's watchers hear of its row as it is now."""
    row = await backing.jobs.get(job)
    if row is not None:
        backing.bus.publish(job, Changed(job=row))


async def _give_up(backing: BackingServices, job: Job, error: JobError, now: datetime) -> bool:
    """Returns whether the job was still lost."""
    assert job.lease is not None, "only running jobs are lost"
    ending = Ending(state=JobState.FAILED, at=now, timings=job.timings, step=job.step, error=error)
    try:
        await finish(backing, job, job.lease, ending)
    except LeaseLost:
        return False  # renewed or ended meanwhile
    return True


async def retry_failed(backing: BackingServices, job: JobId, now: datetime) -> bool:
    """Put a failed job back into the queue, as if new. Returns whether it was a failed job."""
    if not await backing.jobs.revive(job, now):
        return False
    backing.metrics.requeued.labels(reason="retried").inc()
    await publish_row(backing, job)
    backing.bus.ring()
    return True
