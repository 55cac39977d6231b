"""Find the pictures that a takedown takes: first by what the database can ask, then by prompts and pixels."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import structlog
from PIL import Image as Pixels

from mezzotint.actions.takedown.work import TakedownWork, list_keys
from mezzotint.domain.ids import JobId, Sha256
from mezzotint.domain.safety.takedown import BlockedPicture, PictureSelection, StoredPicture, TakedownPlan
from mezzotint.policy.safety.takedown import extend_plan, is_named
from mezzotint.safety.image.perceptual_hash import MIN_QUALITY, HashIndex, PictureHash, hash_picture, may_be_near

log = structlog.get_logger()
PAGE = 100
"""Pictures that are looked at and withdrawn at once."""
MAX_SAME = 10_000
"""Pictures with the bytes of one page that a plan counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTakedown:
    """is_complete: whether the plan saw everything in the time that it had. num_seen: pictures looked at."""

    plan: TakedownPlan
    num_seen: int
    is_complete: bool


async def plan_takedown(work: TakedownWork, selection: PictureSelection, within_s: float = math.inf) -> PlannedTakedown:
    """Count what a takedown would take, and change nothing. Raises: StorageUnavailable."""
    until = time.monotonic() + within_s
    plan = TakedownPlan(num_open_jobs=len(await find_open_jobs(work, selection)))
    num_seen, counted = 0, set[tuple[str, int]]()
    keys: set[str] = set()
    async for page in read_pages(work, selection):
        num_seen += len(page)
        chosen = await choose_pictures(work, selection, page)
        contents = {content for one in chosen for content in (one.png, one.webp) if content is not None}
        together = chosen + (await work.takedowns.with_same_bytes(contents, MAX_SAME) if contents else [])
        new = {(one.kind, one.seq): one for one in together if (one.kind, one.seq) not in counted}
        new_keys = {key for one in new.values() for key in list_keys(one)} - keys
        plan = extend_plan(plan, list(new.values()), sum((await work.backing.objects.sizes(sorted(new_keys))).values()))
        counted |= set(new)
        keys |= new_keys
        if time.monotonic() >= until:
            return PlannedTakedown(plan=plan, num_seen=num_seen, is_complete=False)
    return PlannedTakedown(plan=plan, num_seen=num_seen, is_complete=True)


async def find_open_jobs(work: TakedownWork, selection: PictureSelection) -> list[JobId]:
    """The jobs that the selection names and that have not ended. Raises: StorageUnavailable."""
    found = await work.takedowns.open_jobs_of(selection) if selection.jobs else []
    if not selection.categories:
        return [job.id for job in found]
    judged = await asyncio.to_thread(lambda: [work.find_category(job.prompt, job.negative_prompt) for job in found])
    return [job.id for job, category in zip(found, judged, strict=True) if category in selection.categories]


async def read_pages(work: TakedownWork, selection: PictureSelection) -> AsyncIterator[list[StoredPicture]]:
    """The candidates in pages: drawn pictures first, then uploads."""
    last, after = await work.takedowns.newest_picture(), 0
    while page := await work.takedowns.drawn(selection, after, last, PAGE):
        after = page[-1].seq
        yield page
    after = 0
    while page := await work.takedowns.list_uploads(selection, after, PAGE):
        after = page[-1].seq
        yield page


async def name_copies(work: TakedownWork, selection: PictureSelection) -> PictureSelection:
    """The selection with the PDQ hashes of the pictures that it names: copies of them go too, whatever their files.

    Pictures with too little detail for such a hash add none.
    """
    named = PictureSelection(contents=selection.contents, jobs=selection.jobs)
    pictures = [one async for page in read_pages(work, named) for one in page] if named != PictureSelection() else []
    near = dict.fromkeys(selection.near)
    for one in pictures:
        data = await work.backing.objects.get(list_keys(one)[0])
        found = None if data is None else await asyncio.to_thread(describe_picture, data)
        if found is not None and found.quality >= MIN_QUALITY:
            near[found.pdq] = None
    return replace(selection, near=tuple(near))


async def choose_pictures(
    work: TakedownWork, selection: PictureSelection, page: Sequence[StoredPicture]
) -> list[StoredPicture]:
    """The rows of a page that meet the conditions which the database cannot ask."""
    chosen = list(page)
    if selection.categories:
        found = await asyncio.to_thread(lambda: [work.find_category(one.prompt, one.negative_prompt) for one in chosen])
        chosen = [one for one, category in zip(chosen, found, strict=True) if category in selection.categories]
    if selection.near:
        index = await asyncio.to_thread(index_hashes, selection.near)
        chosen = [one for one in chosen if is_named(selection, one) or await _is_near(work, one, selection.near, index)]
    return chosen


def index_hashes(near: Sequence[str]) -> HashIndex:
    return HashIndex((pdq, PictureHash(pixels=Sha256(""), pdq=pdq, quality=100)) for pdq in near)


async def _is_near(work: TakedownWork, picture: StoredPicture, near: Sequence[str], index: HashIndex) -> bool:
    """Say whether the picture is a near copy. Its file is read only where the hash of its row leaves that open."""
    if picture.pdq is not None and (
        (picture.pdq_quality or 0) < MIN_QUALITY or not await asyncio.to_thread(may_be_near, picture.pdq, near)
    ):
        return False
    data = await work.backing.objects.get(list_keys(picture)[0])
    pixels = None if data is None else await asyncio.to_thread(open_picture, data)
    return pixels is not None and await asyncio.to_thread(index.find, pixels) is not None


def open_picture(data: bytes) -> Pixels.Image | None:
    """The pixels of a file that this server wrote; None where it is damaged."""
    try:
        with Pixels.open(BytesIO(data), formats=("PNG", "WEBP")) as opened:
            opened.load()
            return opened
    except (OSError, ValueError, SyntaxError) as error:
        log.warning("a stored picture cannot be read", why=f"{type(error).__name__}: {error}"[:200])
        return None


def describe_picture(data: bytes) -> BlockedPicture | None:
    """The picture's entry on the blocklist."""
    pixels = open_picture(data)
    if pixels is None:
        return None
    found = hash_picture(pixels)
    return BlockedPicture(pixels=found.pixels, pdq=found.pdq, quality=found.quality)
