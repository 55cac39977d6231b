"""Checkpoints of runs under way are kept, each beside the steps that follow it."""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from mezzotint.actions.checkpoint import save
from mezzotint.domain.errors import LeaseLost
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import CheckpointReady

if TYPE_CHECKING:
    from mezzotint.engine import Snapshot

log = structlog.get_logger()


@dataclass(slots=True)
class CheckpointSaver:
    leased: LeasedJobs

    def save(self, report: CheckpointReady) -> None:
        """Skipped while the one before it is under way."""
        held = self.leased.jobs.get(report.job)
        if held is None or held.is_failing:
            return
        if held.is_saving:
            self.leased.desk.metrics.checkpoints.labels(result="skipped").inc()
            return
        held.is_saving = True
        self.leased.spawn(report.job, self.keep(held, report.snapshot, report.cost_s), "save")

    async def keep(self, held: LeasedJob, snapshot: "Snapshot", cost_s: float) -> None:
        """cost_s: of this attempt. A checkpoint that could not be kept is told of, not raised."""
        desk, started_at = self.leased.desk, time.monotonic()
        metrics = desk.metrics
        try:
            data = await asyncio.to_thread(snapshot.encode)
            await save(desk, held.job, snapshot.steps, data, self.leased.now(), cost_s=held.resumed_cost_s + cost_s)
            if snapshot.steps > held.job.lost_step:
                held.job = replace(held.job, num_losses=0)
            spent_s = time.monotonic() - started_at
            metrics.checkpoint_write.observe(spent_s)
            self.leased.interval.wrote(spent_s)
            metrics.checkpoint_bytes.inc(len(data))
            metrics.checkpoints.labels(result="written").inc()
        except LeaseLost:
            metrics.checkpoints.labels(result="late").inc()
            log.info("checkpoint came after the lease", job=held.job.id)
        except Exception as error:  # a run needs no checkpoint to go on
            metrics.checkpoints.labels(result="failed").inc()
            log.warning("checkpoint not kept", job=held.job.id, step=snapshot.steps, exc_info=error)
        finally:
            held.is_saving = False
