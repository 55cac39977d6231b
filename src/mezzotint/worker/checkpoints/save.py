"""Save checkpoints of runs while they go on."""

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from mezzotint.actions.checkpoint import save
from mezzotint.domain.errors import LeaseLost
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs

if TYPE_CHECKING:
    from mezzotint.engine import Snapshot

log = structlog.get_logger()


async def save_checkpoint(jobs: LeasedJobs, leased: LeasedJob, snapshot: "Snapshot", cost_s: float) -> None:
    """Encode and store a snapshot. A failure is logged and counted, never raised: a run needs no checkpoint to go on.

    cost_s: GPU-seconds of this attempt.
    """
    backing, started_at = jobs.backing, time.monotonic()
    metrics = backing.metrics
    try:
        data = await asyncio.to_thread(snapshot.encode)
        await save(backing, leased.job, snapshot.steps, data, jobs.now(), cost_s=leased.resumed_cost_s + cost_s)
        if snapshot.steps > leased.job.lost_step:
            leased.job = replace(leased.job, num_losses=0)
        spent_s = time.monotonic() - started_at
        metrics.checkpoint_write.observe(spent_s)
        jobs.interval.record_write(spent_s)
        metrics.checkpoint_bytes.inc(len(data))
        metrics.checkpoints.labels(result="written").inc()
    except LeaseLost:
        metrics.checkpoints.labels(result="late").inc()
        log.info("checkpoint came after the lease", job=leased.job.id)
    except Exception as error:
        metrics.checkpoints.labels(result="failed").inc()
        log.warning("checkpoint not kept", job=leased.job.id, step=snapshot.steps, exc_info=error)
    finally:
        leased.is_saving = False
