"""Start a claimed job: read its newest checkpoint and its sources, then hand it to the device."""

from contextlib import suppress

import structlog

from mezzotint.actions.checkpoint import discard, newest
from mezzotint.actions.upload import read_source
from mezzotint.domain.errors import SourceMissing, StorageUnavailable
from mezzotint.domain.job import CheckpointRef
from mezzotint.worker.job_states import JobAction, JobMessage
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import RunEnded, Start
from mezzotint.worker.reuse import reuse_pictures

log = structlog.get_logger()


async def start_job(jobs: LeasedJobs, leased: LeasedJob) -> None:
    """Raises: StorageUnavailable, when the store stayed away."""
    prepared = await jobs.retry_while_away(lambda: _prepare(jobs, leased))
    if isinstance(prepared, RunEnded):
        jobs.reports.put_nowait(prepared)
    elif prepared.resume is None and await jobs.retry_while_away(lambda: reuse_pictures(jobs, leased)):
        return
    elif jobs.receive(leased, JobMessage.PREPARED) is JobAction.START:
        jobs.send(prepared)


async def restart_job(jobs: LeasedJobs, leased: LeasedJob, refused: CheckpointRef) -> None:
    """Start again from the checkpoint before the one that the engine refused, or from noise."""

    async def drop() -> None:
        await discard(jobs.backing, leased.job.id, refused)
        leased.job = await jobs.backing.jobs.get(leased.job.id) or leased.job

    with suppress(StorageUnavailable):  # the engine refuses it again then
        await jobs.retry_while_away(drop)
    await start_job(jobs, leased)


async def _prepare(jobs: LeasedJobs, leased: LeasedJob) -> Start | RunEnded:
    """The command for the device; the end of the job where one of its sources is gone."""
    backing, job = jobs.backing, leased.job
    saved = await newest(backing, job)
    if job.checkpoints or leased.resumed_from is not None:
        is_newest = saved is not None and leased.resumed_from is None and saved[0] == job.checkpoints[0]
        source = "noise" if saved is None else "newest" if is_newest else "older"
        backing.metrics.resumed.labels(source=source).inc()
        if saved is None:
            log.warning("job begins again in spite of its checkpoints", job=job.id)
    leased.resumed_from = saved[0] if saved else None
    if saved:
        log.info("job goes on from its checkpoint", job=job.id, step=saved[0].step)
    contents = [content for content in (job.parameters.source, job.parameters.mask) if content is not None]
    pictures = [await read_source(backing.objects, content) for content in contents]
    if None in pictures:
        return RunEnded(job=job.id, step=job.step, error=SourceMissing("It was deleted."))
    source_png, mask_png = (*pictures, None, None)[:2]
    return Start(job=job, resume=saved[1] if saved else None, source=source_png, mask=mask_png)
