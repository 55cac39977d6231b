"""Steps and previews of runs under way are told to those who watch.

Previews of a job stop at the first one that the image filter blocks, or that fails: a later one of the same picture
might pass by chance.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mezzotint.domain.event import Progressed
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import StepDone
from mezzotint.worker.postprocess import PostProcessor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = structlog.get_logger()


@dataclass(slots=True)
class ProgressPublisher:
    leased: LeasedJobs
    postprocessor: PostProcessor

    def show(self, report: StepDone) -> None:
        held = self.leased.jobs.get(report.job)
        if held is None:
            return
        held.step = report.step
        if report.preview is None or held.is_showing or report.job in self.leased.without_previews:
            event = Progressed(job=report.job, step=report.step, num_steps=report.num_steps, preview=None)
            self.leased.desk.bus.publish(report.job, event)
        else:
            held.is_showing = True
            self.leased.spawn(report.job, self._show(held, report.preview, report.num_steps), "show")

    async def _show(self, held: LeasedJob, rgb: "NDArray[np.uint8]", num_steps: int) -> None:
        preview = None
        try:
            preview = await asyncio.to_thread(self.postprocessor.preview, rgb)
        except Exception as error:  # a picture needs no previews; what could not be looked at is not shown
            log.warning("preview not made", job=held.job.id, exc_info=error)
        if preview is None:
            self.leased.stop_previews(held.job.id)
        held.is_showing = False
        # the step reached by now: later steps may have been told already
        event = Progressed(job=held.job.id, step=held.step, num_steps=num_steps, preview=preview)
        self.leased.desk.bus.publish(held.job.id, event)
