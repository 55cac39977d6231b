"""Steps and previews of runs under way are told to those who watch."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mezzotint.domain.event import Progressed
from mezzotint.worker.develop import Developer
from mezzotint.worker.holding import Held, Holding
from mezzotint.worker.reports import Stepped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class Shower:
    holding: Holding
    developer: Developer

    def show(self, report: Stepped) -> None:
        held = self.holding.held.get(report.job)
        if held is None:
            return
        held.step = report.step
        if report.preview is None:
            event = Progressed(job=report.job, step=report.step, num_steps=report.num_steps, preview=None)
            self.holding.desk.bus.publish(report.job, event)
        else:
            held.is_showing = True
            self.holding.errand(self._show(held, report.preview, report.num_steps), f"show {report.job}")

    async def _show(self, held: Held, rgb: "NDArray[np.uint8]", num_steps: int) -> None:
        try:
            preview = await asyncio.to_thread(self.developer.preview, rgb)
        finally:
            held.is_showing = False
        # the step reached by now: later steps may have been told already
        event = Progressed(job=held.job.id, step=held.step, num_steps=num_steps, preview=preview)
        self.holding.desk.bus.publish(held.job.id, event)
