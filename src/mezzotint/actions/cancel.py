"""The owner gives up a job, whatever its state."""

from contextlib import suppress
from datetime import datetime

from mezzotint.actions.finish import BackingServices, drop_checkpoints
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.event import Changed
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job


async def cancel(backing: BackingServices, job: JobId, now: datetime) -> Job | None:
    """Cancel the job if it has not ended. Returns its row afterwards; its worker hears of it through the bus."""
    is_changed = await backing.jobs.cancel(job, now)
    if is_changed:
        with suppress(StorageUnavailable):  # it is cancelled all the same; the sweep finds what is left
            await drop_checkpoints(backing, job)
    row = await backing.jobs.get(job)
    if row is not None:
        if is_changed:
            backing.metrics.count_undrawn(row)
        backing.bus.publish(job, Changed(job=row))
    return row
