"""A job ends: pictures first, then the row, fenced by the lease; then its checkpoints go."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.event import Changed
from mezzotint.domain.ids import JobId, Sha256
from mezzotint.domain.job import Ending, Job, Lease
from mezzotint.metrics import Metrics
from mezzotint.store import EventBus, Jobs, Objects
from mezzotint.store.safety.encrypted_objects import EncryptedObjects


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that passed the filter, encoded and named by its content. Sizes in px."""

    png: bytes
    webp: bytes
    png_hash: Sha256
    webp_hash: Sha256
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Originals:
    """Pictures that are not delivered, encrypted. keeps_blocked: whether those that were blocked are kept, too."""

    objects: EncryptedObjects
    keeps_blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackingServices:
    """The stores that an action writes a job to, the bus that tells its watchers, and the metrics.

    originals: None where no picture is kept that is not delivered.
    """

    jobs: Jobs
    objects: Objects
    bus: EventBus
    metrics: Metrics = field(default_factory=Metrics)
    originals: Originals | None = None


async def store_pictures(objects: Objects, pictures: Sequence[Picture]) -> None:
    """Raises: StorageFull, StorageUnavailable."""
    for picture in pictures:
        await objects.put_once(image_key(picture.png_hash, "png"), picture.png)
        await objects.put_once(image_key(picture.webp_hash, "webp"), picture.webp)


async def finish(backing: BackingServices, job: Job, lease: Lease, ending: Ending) -> None:
    """Write the end of a running job and tell its watchers. Raises: LeaseLost."""
    await _announce_end(backing, await backing.jobs.finish(job.id, lease, ending), ending)


async def finish_reused(backing: BackingServices, job: Job, lease: Lease, ending: Ending) -> bool:
    """End a running job with the pictures of another. Returns False, and writes nothing, where these are gone.

    Raises: LeaseLost.
    """
    ended = await backing.jobs.finish_reused(job.id, lease, ending)
    if ended is not None:
        await _announce_end(backing, ended, ending)
    return ended is not None


async def _announce_end(backing: BackingServices, job: Job, ending: Ending) -> None:
    backing.metrics.count_end(job.lane, ending.state, ending.timings)
    backing.metrics.gpu_seconds.labels(lane=job.lane).inc(ending.cost_s)
    backing.metrics.calls.labels(answer="pass").inc(ending.num_passes)
    backing.metrics.calls.labels(answer="forecast").inc(ending.num_forecast)
    backing.bus.publish(job.id, Changed(job=job))
    if job.checkpoints:
        with suppress(StorageUnavailable):  # it has ended all the same; the sweep finds what is left
            await drop_checkpoints(backing, job.id)


async def drop_checkpoints(backing: BackingServices, job: JobId) -> None:
    """Delete the checkpoints of a job that ended: bytes first: after a crash the rows still find them."""
    await backing.objects.delete(await backing.jobs.checkpoint_keys(job))
    await backing.jobs.drop_checkpoints(job)


def image_key(content: Sha256, suffix: str) -> str:
    """The key of a picture in the object store; two levels of folders keep each folder small."""
    return f"images/{content[:2]}/{content}.{suffix}"
