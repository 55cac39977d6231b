"""An admin gives a dead letter another chance."""

from datetime import datetime

from mezzotint.actions.finish import Desk
from mezzotint.actions.recover import tell
from mezzotint.domain.ids import JobId


async def retry(desk: Desk, job: JobId, now: datetime) -> bool:
    """Put a failed job back into the queue, as if new. Returns whether it was a failed job."""
    if not await desk.jobs.revive(job, now):
        return False
    desk.metrics.requeued.labels(reason="retried").inc()
    await tell(desk, job)
    desk.bus.ring()
    return True
