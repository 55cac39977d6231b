"""A run saved between two steps: the bytes first, then the row, so that a row never names bytes that are not there."""

from datetime import datetime
from hashlib import sha256

from mezzotint.actions.finish import BackingServices
from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import CheckpointRef, Job

KEPT = 2
"""Checkpoints kept a job: when the newest is damaged, the one before it still saves most of the work."""


async def save(
    backing: BackingServices, job: Job, step: int, data: bytes, at: datetime, *, cost_s: float = 0.0
) -> None:
    """Keep a checkpoint of a running job. cost_s: GPU-seconds so far. Raises: LeaseLost, StorageUnavailable."""
    assert job.lease is not None, "only its holder saves a job"
    # token and worker in the key keep a late holder from overwriting its successor's bytes
    worker = sha256(job.lease.worker.encode()).hexdigest()[:8]
    key = f"checkpoints/{job.id}/{job.lease.token:04d}-{step:05d}-{worker}.safetensors"
    saved = CheckpointRef(step=step, key=key, cost_s=cost_s)
    await backing.objects.put(saved.key, data)
    try:
        unused = await backing.jobs.add_checkpoint(job.id, job.lease, saved, KEPT, at)
    except LeaseLost:
        await backing.objects.delete([saved.key])
        raise
    await backing.objects.delete(unused)


async def newest(backing: BackingServices, job: Job) -> tuple[CheckpointRef, bytes] | None:
    """The newest checkpoint whose bytes are there; None when the job starts from noise."""
    for saved in job.checkpoints:
        data = await backing.objects.get(saved.key)
        if data is not None:
            return saved, data
        backing.metrics.unusable.labels(why="missing").inc()
        await backing.jobs.drop_checkpoint(job.id, saved.step)
    return None


async def discard(backing: BackingServices, job: JobId, saved: CheckpointRef) -> None:
    """Drop a checkpoint that cannot be used."""
    await backing.jobs.drop_checkpoint(job, saved.step)
    await backing.objects.delete([saved.key])
