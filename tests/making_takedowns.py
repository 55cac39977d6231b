"""Finished pictures with real bytes, and what takedowns work with, for tests."""

from dataclasses import replace
from datetime import datetime, timedelta

from PIL import Image as Pixels
from PIL import ImageDraw

from mezzotint.actions.finish import BackingServices, Picture, store_pictures
from mezzotint.actions.takedown.work import QUARANTINE, TakedownWork
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import Image, Job
from mezzotint.domain.task import Source
from mezzotint.domain.tier import Tier
from mezzotint.media import content_hash, encode
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.image.perceptual_hash import hash_picture
from mezzotint.store import Database, EncryptedObjects, EventBus, Objects, Store, WorkerOffer
from tests.making import NOW, make_ending, make_job

KEY = b"k" * 32


def make_work(database: Database, objects: Objects, now: datetime = NOW) -> TakedownWork:
    """As the gateway puts it together; words of the prompt name its category."""
    store = Store(database)
    return TakedownWork(
        takedowns=store.takedowns,
        backing=BackingServices(jobs=store.jobs, objects=objects, bus=EventBus()),
        quarantine=EncryptedObjects(objects, QUARANTINE, KEY),
        now=lambda: now,
        find_category=lambda prompt, negative: "violence" if "fight" in prompt else None,
    )


def draw_pixels(number: int, side_px: int = 128) -> Pixels.Image:
    """A picture with enough detail for a perceptual hash; another one for each number."""
    pixels = Pixels.new("RGB", (side_px, side_px), (number * 37 % 256, 90, 200))
    pen = ImageDraw.Draw(pixels)
    for step in range(24):
        x, y = (step * (number * 7 + 13)) % side_px, (step * step * (number + 3)) % side_px
        pen.rectangle((x, y, x + 9 + step % 5, y + 14), fill=(step * 10, (step * number * 31) % 256, 255 - step * 9))
    return pixels


def encode_picture(pixels: Pixels.Image) -> Picture:
    files = encode(pixels)
    return Picture(
        png=files.png,
        webp=files.webp,
        png_hash=content_hash(files.png),
        webp_hash=content_hash(files.webp),
        width=pixels.width,
        height=pixels.height,
    )


async def finish_with(
    backing: BackingServices, picture: Picture, *, at: datetime = NOW, pixels: Pixels.Image | None = None, **job: str
) -> tuple[Job, Image]:
    """A job that succeeded with the picture. pixels: those that its row keeps the hash of. job: as `make_job` takes,
    and the prompt.
    """
    prompt = job.pop("prompt", "a red apple")
    made = replace(make_job(**job), raw_prompt=prompt)  # type: ignore[arg-type]
    await backing.jobs.add(made)
    image = await finish_next(backing, picture, at=at, pixels=pixels)
    assert image.job == made.id
    return made, image


async def finish_next(
    backing: BackingServices, picture: Picture, *, at: datetime = NOW, pixels: Pixels.Image | None = None
) -> Image:
    """End the job that waits with the picture, as a worker does."""
    (job,) = await backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert job.lease is not None
    await store_pictures(backing.objects, [picture])
    found = None if pixels is None else hash_picture(pixels)
    image = Image(
        job=job.id,
        position=0,
        png=picture.png_hash,
        webp=picture.webp_hash,
        seed=7,
        width=picture.width,
        height=picture.height,
        created_at=at,
        pdq=found and found.pdq,
        pdq_quality=found and found.quality,
    )
    await backing.jobs.finish(job.id, job.lease, make_ending(job, images=(image,)))
    return image


async def keep_upload(store: Store, objects: Objects, tenant: str, picture: Picture) -> None:
    """An upload of the picture's PNG."""
    source = Source(content=picture.png_hash, width=picture.width, height=picture.height, num_bytes=len(picture.png))
    assert await store.uploads.keep(TenantId(tenant), source, NOW, 100)
    await objects.put_once(f"uploads/{picture.png_hash[:2]}/{picture.png_hash}.png", picture.png)


def days(number: float) -> timedelta:
    return timedelta(days=number)


def judge_brightness(pixels: Pixels.Image, tier: Tier) -> ImageVerdict:
    """An image filter that scores how bright a picture is."""
    score = min(1.0, 0.6 + sum(pixels.convert("L").resize((1, 1)).tobytes()) / 1e4)
    return ImageVerdict(verdict=SafetyVerdict.ALLOW, scores={"brightness": {"violence": score}})
