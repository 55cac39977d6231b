"""From pixels to stored pictures: filter, mark, encode, sign, name by content, store. Only what passes is stored."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import structlog
from PIL import Image as Pixels

from mezzotint.actions.finish import Originals, Picture, store_pictures
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.errors import (
    EncodeFailed,
    FilterFailed,
    ImageBlocked,
    ImageInReview,
    JobFault,
    RunFailed,
    SigningFailed,
)
from mezzotint.domain.job import Ending, Image, Job, JobError, JobState, Timings
from mezzotint.domain.safety.held_image import HeldImage, HeldState
from mezzotint.domain.tier import Tier
from mezzotint.media import blur_picture, content_hash, encode, preview_data_url
from mezzotint.media.metadata import SOFTWARE, embed_recipe
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.provenance import PictureTools
from mezzotint.store import Objects
from mezzotint.worker.messages import RunEnded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = structlog.get_logger()
UNTOUCHED = PictureTools()


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureStorage:
    """objects: of pictures that are delivered. originals: of those that are not; None: none are kept."""

    objects: Objects
    originals: Originals | None = None


class ImageFilter(Protocol):
    """The post-filter. Its methods may take long and run on threads beside the event loop."""

    def check(self, image: Pixels.Image, tier: Tier, /) -> ImageVerdict: ...

    def is_preview_blocked(self, image: Pixels.Image, tier: Tier, /) -> bool: ...


async def postprocess(
    job: Job,
    report: RunEnded,
    image_filter: ImageFilter,
    storage: PictureStorage,
    now: Callable[[], datetime],
    *,
    tools: PictureTools = UNTOUCHED,
) -> Ending:
    """Store the pictures of a run, unless the filter blocks one. Returns the end that the job's row will have.

    tools: mark the pixels and sign the files, on a thread.
    Raises: FilterFailed, EncodeFailed, SigningFailed; StorageUnavailable, after which it may be called again.
    """
    queue_s = max((job.started_at - job.created_at).total_seconds(), 0.0) if job.started_at else None
    timings = Timings(queue_s=queue_s, denoise_s=report.denoise_s, decode_s=report.decode_s)
    started_at = time.monotonic()
    try:
        verdicts = [await asyncio.to_thread(image_filter.check, picture, job.tier) for picture in report.pictures]
    except Exception as error:
        raise FilterFailed(f"The image filter failed ({type(error).__name__}).") from error
    timings = replace(timings, filter_s=time.monotonic() - started_at)
    if any(verdict.is_withheld for verdict in verdicts):
        ending = Ending(state=JobState.BLOCKED, at=now(), timings=timings, step=report.step, cut_texts=report.cut_texts)
        is_review = storage.originals is not None and not any(verdict.is_blocked for verdict in verdicts)
        is_kept = storage.originals is not None and (is_review or storage.originals.keeps_blocked)
        kept = await _encode_pictures(job, report, verdicts, tools) if is_kept else ()
        held = _list_held(job, report, verdicts, ending.at, is_review=is_review)
        return await _withhold(storage.originals, held, kept, ending)
    started_at = time.monotonic()
    pictures = await _encode_pictures(job, report, verdicts, tools)
    await store_pictures(storage.objects, pictures)
    timings = replace(timings, upload_s=time.monotonic() - started_at)
    images = tuple(
        Image(
            job=job.id,
            position=position,
            png=picture.png_hash,
            webp=picture.webp_hash,
            seed=job.parameters.seed,
            width=picture.width,
            height=picture.height,
            created_at=now(),
            verdict=verdict.verdict,
            scores=verdict.kept_scores,
            filter_version=verdict.version,
            pdq=verdict.pdq,
            pdq_quality=verdict.pdq_quality,
        )
        for position, (picture, verdict) in enumerate(zip(pictures, verdicts, strict=True))
    )
    return Ending(
        state=JobState.SUCCEEDED,
        at=now(),
        timings=timings,
        step=report.step,
        images=images,
        cut_texts=report.cut_texts,
    )


async def _encode_pictures(
    job: Job, report: RunEnded, verdicts: Sequence[ImageVerdict], tools: PictureTools
) -> list[Picture]:
    """Raises: EncodeFailed, SigningFailed."""
    recipe = Recipe.of_job(job, SOFTWARE) if tools.shows_recipe else None
    try:
        return [
            await asyncio.to_thread(_encode_picture, picture, verdict, tools, recipe)
            for picture, verdict in zip(report.pictures, verdicts, strict=True)
        ]
    except SigningFailed:
        raise
    except Exception as error:
        raise EncodeFailed(f"The picture could not be encoded ({type(error).__name__}).") from error


def _list_held(
    job: Job, report: RunEnded, verdicts: Sequence[ImageVerdict], at: datetime, *, is_review: bool
) -> list[HeldImage]:
    """The pictures that a row is kept of: in a review all of the job's, else those that did not pass."""
    return [
        HeldImage(
            job=job.id,
            position=position,
            state=HeldState.REVIEW if is_review else HeldState.BLOCKED,
            category=verdict.category or "",
            scores=verdict.kept_scores,
            filter_version=verdict.version,
            seed=job.parameters.seed,
            width=picture.width,
            height=picture.height,
            created_at=at,
        )
        for position, (picture, verdict) in enumerate(zip(report.pictures, verdicts, strict=True))
        if is_review or verdict.is_withheld
    ]


async def _withhold(
    originals: Originals | None, held: Sequence[HeldImage], kept: Sequence[Picture], ending: Ending
) -> Ending:
    """End the job without pictures. Originals are kept encrypted where the job waits for a review, or the policy says.

    kept: all pictures of the job; empty: none is kept.
    """
    if originals is not None and kept:
        for one in held:
            await originals.objects.put(f"{_key_of(one)}png", kept[one.position].png)
            await originals.objects.put(f"{_key_of(one)}webp", kept[one.position].webp)
        held = [replace(one, key=_key_of(one)) for one in held]
    if held[0].state is HeldState.REVIEW:
        error = JobError.of(ImageInReview(ImageInReview.__doc__))
    else:
        category = next((one.category for one in held if one.category), "")
        about = f" ({SafetyCategory(category).about})" if category in set(SafetyCategory) else ""
        end = "was not kept" if held[0].key is None else "is not delivered"
        message = f"The finished picture did not pass the image filter{about} and {end}."
        error = JobError.of(ImageBlocked.of_job(held[0].job, message))
    return replace(ending, error=error, held=tuple(held))


def _key_of(held: HeldImage) -> str:
    return f"{held.job}/{held.position}/"


def encode_preview(rgb: "NDArray[np.uint8]", image_filter: ImageFilter, tier: Tier) -> str | None:
    """A data URL of an unfinished picture; None where the filter blocks it. rgb: [H, W, 3]."""
    return None if image_filter.is_preview_blocked(Pixels.fromarray(rgb), tier) else preview_data_url(rgb)


def explain(job: Job, error: BaseException) -> JobFault:
    """The error as the owner sees it. The log alone has the cause of an error that the owner cannot mend."""
    if isinstance(error, JobFault):
        return error
    log.error("run failed", job=job.id, exc_info=error)
    return RunFailed(f"The model could not carry out the request ({type(error).__name__}).")


def _encode_picture(pixels: Pixels.Image, verdict: ImageVerdict, tools: PictureTools, recipe: Recipe | None) -> Picture:
    encoded = encode(tools.mark(blur_picture(pixels) if verdict.verdict is SafetyVerdict.BLUR else pixels))
    files = (encoded.png, encoded.webp)
    if recipe is not None:
        files = (embed_recipe(encoded.png, recipe), embed_recipe(encoded.webp, recipe))
    png, webp = tools.sign(files[0]), tools.sign(files[1])
    return Picture(
        png=png,
        webp=webp,
        png_hash=content_hash(png),
        webp_hash=content_hash(webp),
        width=pixels.width,
        height=pixels.height,
    )
