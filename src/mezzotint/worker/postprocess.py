"""From pixels to published pictures: look, encode, name, store. Nothing leaves before the filter has seen it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from PIL import Image as Pixels

from mezzotint.actions.finish import Picture, store_pictures
from mezzotint.domain.errors import EncodeFailed, FilterFailed, ImageBlocked, JobFault, RunFailed
from mezzotint.domain.job import Ending, Image, Job, JobError, JobState, Timings
from mezzotint.media import content_hash, encode, preview_data_url
from mezzotint.store import Objects
from mezzotint.worker.messages import RunEnded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostProcessor:
    """is_blocked: the image filter, of finished pictures; is_preview_blocked: of previews. They may take long and run
    beside the event loop."""

    objects: Objects
    is_blocked: Callable[[Pixels.Image], bool]
    is_preview_blocked: Callable[[Pixels.Image], bool]

    def preview(self, rgb: "NDArray[np.uint8]") -> str | None:
        """A data URL of a picture that is not finished; None where the filter blocks it. rgb: [H, W, 3]."""
        return None if self.is_preview_blocked(Pixels.fromarray(rgb)) else preview_data_url(rgb)

    async def ending(
        self, job: Job, report: RunEnded, now: Callable[[], datetime], load_s: float | None = None
    ) -> Ending:
        """What the job's row will say.

        Raises: FilterFailed, EncodeFailed; StorageUnavailable, when the pictures could not be stored: it may be asked
        again.
        """
        queue_s = max((job.started_at - job.created_at).total_seconds(), 0.0) if job.started_at else None
        timings = Timings(queue_s=queue_s, load_s=load_s, denoise_s=report.denoise_s, decode_s=report.decode_s)
        failed = Ending(state=JobState.FAILED, at=now(), timings=timings, step=report.step)
        if report.error is not None:
            return replace(failed, error=JobError.of(explain(job, report.error)))
        started_at = time.monotonic()
        try:
            verdicts = [await asyncio.to_thread(self.is_blocked, picture) for picture in report.pictures]
        except Exception as error:
            raise FilterFailed(f"The image filter failed ({type(error).__name__}).") from error
        timings = replace(timings, filter_s=time.monotonic() - started_at)
        if any(verdicts):
            blocked = JobError.of(ImageBlocked("The finished picture did not pass the image filter and was not kept."))
            return replace(failed, state=JobState.BLOCKED, at=now(), timings=timings, error=blocked)
        started_at = time.monotonic()
        try:
            pictures = [await asyncio.to_thread(_picture, picture) for picture in report.pictures]
        except Exception as error:
            raise EncodeFailed(f"The picture could not be encoded ({type(error).__name__}).") from error
        await store_pictures(self.objects, pictures)
        timings = replace(timings, upload_s=time.monotonic() - started_at)
        images = _rows(job, pictures, now())
        return Ending(state=JobState.SUCCEEDED, at=now(), timings=timings, step=report.step, images=images)


def explain(job: Job, error: BaseException) -> JobFault:
    """The error as the owner sees it; the log has the cause of what is not the owner's."""
    if isinstance(error, JobFault):
        return error
    log.error("run failed", job=job.id, exc_info=error)
    return RunFailed(f"The model could not carry out the request ({type(error).__name__}).")


def _rows(job: Job, pictures: Sequence[Picture], at: datetime) -> tuple[Image, ...]:
    return tuple(
        Image(
            job=job.id,
            position=position,
            png=picture.png_hash,
            webp=picture.webp_hash,
            seed=job.parameters.seed,
            width=picture.width,
            height=picture.height,
            created_at=at,
        )
        for position, picture in enumerate(pictures)
    )


def _picture(pixels: Pixels.Image) -> Picture:
    files = encode(pixels)
    return Picture(
        png=files.png,
        webp=files.webp,
        png_hash=content_hash(files.png),
        webp_hash=content_hash(files.webp),
        width=pixels.width,
        height=pixels.height,
    )
