"""Publish steps and previews of runs to their watchers.

Previews of a job stop at the first one that the image filter blocks, or that fails: a later one of the same picture
might pass by chance.
"""

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from mezzotint.domain.event import Progressed
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import StepDone
from mezzotint.worker.postprocess import encode_preview

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = structlog.get_logger()


def publish_progress(jobs: LeasedJobs, leased: LeasedJob, report: StepDone) -> None:
    """Publish a step at once, or after its preview has passed the filter."""
    job, now = leased.job.id, time.monotonic()
    if leased.stepped_at is not None and report.step == leased.step + 1:
        size, num_runs = leased.job.parameters, sum(one.stepped_at is not None for one in jobs.by_id.values())
        jobs.health.record_step(leased.job.model, now - leased.stepped_at, size.width * size.height / 1e6, num_runs)
    leased.step, leased.stepped_at = report.step, now
    if report.preview is None or leased.is_previewing or job in jobs.without_previews:
        event = Progressed(job=job, step=report.step, num_steps=report.num_steps, preview=None)
        jobs.backing.bus.publish(job, event)
    else:
        leased.is_previewing = True
        jobs.spawn(job, _publish_preview(jobs, leased, report.preview, report.num_steps), "preview")


async def _publish_preview(jobs: LeasedJobs, leased: LeasedJob, rgb: "NDArray[np.uint8]", num_steps: int) -> None:
    preview = None
    try:
        preview = await asyncio.to_thread(encode_preview, rgb, jobs.image_filter, leased.job.tier)
    except Exception as error:  # a picture needs no previews; one that could not be looked at is not shown
        log.warning("preview not made", job=leased.job.id, exc_info=error)
    if preview is None:
        jobs.stop_previews(leased.job.id)
    leased.is_previewing = False
    # the step reached by now: later steps may have been published already
    event = Progressed(job=leased.job.id, step=leased.step, num_steps=num_steps, preview=preview)
    jobs.backing.bus.publish(leased.job.id, event)
