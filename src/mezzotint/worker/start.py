"""A claimed job is handed to the device, from its newest checkpoint that is there."""

from contextlib import suppress
from dataclasses import dataclass

import structlog

from mezzotint.actions.checkpoint import discard, newest
from mezzotint.actions.upload import read_source
from mezzotint.domain.errors import SourceMissing, StorageUnavailable
from mezzotint.domain.job import CheckpointRef
from mezzotint.worker.device import DeviceThread
from mezzotint.worker.finish import JobFinisher
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import RunEnded, Start

log = structlog.get_logger()


@dataclass(slots=True)
class JobStarter:
    leased: LeasedJobs
    device: DeviceThread
    finisher: JobFinisher

    async def begin(self, held: LeasedJob) -> None:
        try:
            await self.leased.retry_while_away(lambda: self._draw(held))
        except StorageUnavailable as error:
            await self.finisher.failed(held, error, 0.0)

    async def again(self, held: LeasedJob, refused: CheckpointRef) -> None:
        """Go on from the checkpoint before the one that cannot be used, or from noise."""
        desk = self.leased.desk

        async def drop() -> None:
            await discard(desk, held.job.id, refused)
            held.job = await desk.jobs.get(held.job.id) or held.job

        with suppress(StorageUnavailable):  # it is refused again then, and dropped
            await self.leased.retry_while_away(drop)
        await self.begin(held)

    async def _draw(self, held: LeasedJob) -> None:
        desk = self.leased.desk
        saved = await newest(desk, held.job)
        if held.job.checkpoints or held.resumed_from is not None:
            desk.metrics.resumed.labels(source=_source(held, saved[0] if saved else None)).inc()
            if saved is None:
                log.warning("job begins again in spite of its checkpoints", job=held.job.id)
        held.resumed_from = saved[0] if saved else None
        if saved:
            log.info("job goes on from its checkpoint", job=held.job.id, step=saved[0].step)
        parameters = held.job.parameters
        contents = [content for content in (parameters.source, parameters.mask) if content is not None]
        pictures = [await read_source(desk.objects, content) for content in contents]
        if None in pictures:
            missing = RunEnded(job=held.job.id, step=held.job.step, error=SourceMissing("It was deleted."))
            self.finisher.end(missing, self.again)
            return
        source, mask = (*pictures, None, None)[:2]
        held.is_started = True
        self.device.send(Start(job=held.job, resume=saved[1] if saved else None, source=source, mask=mask))


def _source(held: LeasedJob, used: CheckpointRef | None) -> str:
    """What a job that had run before goes on from."""
    if used is None:
        return "noise"
    is_newest = held.resumed_from is None and used == held.job.checkpoints[0]
    return "newest" if is_newest else "older"
