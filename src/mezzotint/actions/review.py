"""Keep originals of pictures that are not delivered, encrypted; let an admin look at them, release or deny them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from mezzotint.actions.finish import BackingServices, Originals, Picture, store_pictures
from mezzotint.actions.requeue import publish_row
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Image
from mezzotint.domain.safety.held_image import HeldImage, HeldState
from mezzotint.media import content_hash
from mezzotint.policy.safety.audit import SafetyChange
from mezzotint.policy.safety.document import OriginalsPolicy
from mezzotint.store.safety.encrypted_objects import EncryptedObjects
from mezzotint.store.safety.held_images import HeldEntry, HeldImages

log = structlog.get_logger()
HELD = "held/"
"""Prefix of the encrypted originals."""
SWEEP_S = 3600.0
UNDECIDED = "nobody looked at it in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """The stores and clock of reviews. backing: with its originals. policy: how long they are kept."""

    held: HeldImages
    backing: BackingServices
    policy: OriginalsPolicy
    now: Callable[[], datetime]

    @property
    def originals(self) -> Originals:
        assert self.backing.originals is not None
        return self.backing.originals


def with_originals(
    backing: BackingServices, derive: Callable[[str], bytes], policy: OriginalsPolicy
) -> BackingServices:
    """Give the services a place for originals. derive: makes a secret for one purpose of the key that signs tokens."""
    encrypted = EncryptedObjects(backing.objects, HELD, derive("held pictures"))
    return replace(backing, originals=Originals(objects=encrypted, keeps_blocked=policy.blocked_days > 0))


async def view_original(reviews: Reviews, entry: HeldEntry, change: SafetyChange) -> bytes | None:
    """The PNG of a picture that is not delivered, after an audit row of who looks. None where it is not kept."""
    if entry.image.key is None:
        return None
    await reviews.held.record_view(entry.image, change)
    return await reviews.originals.objects.get(f"{entry.image.key}png")


async def release_pictures(reviews: Reviews, job: JobId, change: SafetyChange) -> bool:
    """Deliver the pictures of a job that waits for its review. False when it waits for none."""
    waiting = [one.image for one in await reviews.held.of_job(job) if one.image.state is HeldState.REVIEW]
    read = [(image, await _read_picture(reviews, image)) for image in waiting]
    found = [(image, picture) for image, picture in read if picture is not None]
    if not waiting or len(found) < len(waiting):
        return False
    await store_pictures(reviews.backing.objects, [picture for _, picture in found])
    images = [_deliver(image, picture, change.at) for image, picture in found]
    if not await reviews.held.release(job, images, change):
        return False
    await _delete_originals(reviews, job)
    await publish_row(reviews.backing, job)
    return True


async def deny_pictures(reviews: Reviews, job: JobId, change: SafetyChange) -> bool:
    """Block the pictures of a job that waits for its review. False when it waits for none."""
    if not await reviews.held.deny(job, change):
        return False
    if not reviews.originals.keeps_blocked:
        await _delete_originals(reviews, job)
    await publish_row(reviews.backing, job)
    return True


async def sweep_held_pictures(reviews: Reviews) -> None:
    """Deny what nobody looked at in time, and delete originals whose time is over."""
    now = reviews.now()
    change = SafetyChange(author="server", reason=UNDECIDED, at=now)
    for entry in await reviews.held.find_due(HeldState.REVIEW, now - timedelta(days=reviews.policy.review_days)):
        await deny_pictures(reviews, entry.image.job, change)
    for state in (HeldState.BLOCKED, HeldState.DENIED):
        for entry in await reviews.held.find_due(state, now - timedelta(days=reviews.policy.blocked_days)):
            await _delete_originals(reviews, entry.image.job)


async def _delete_originals(reviews: Reviews, job: JobId) -> None:
    """The row last: after a crash the sweep finds it again."""
    await reviews.originals.objects.delete_all(f"{job}/")
    await reviews.held.forget_originals(job)


async def _read_picture(reviews: Reviews, image: HeldImage) -> Picture | None:
    originals = reviews.originals.objects
    png, webp = await originals.get(f"{image.key}png"), await originals.get(f"{image.key}webp")
    if png is None or webp is None:
        log.error("picture in review is not there", job=image.job, position=image.position)
        return None
    return Picture(
        png=png,
        webp=webp,
        png_hash=content_hash(png),
        webp_hash=content_hash(webp),
        width=image.width,
        height=image.height,
    )


def _deliver(image: HeldImage, picture: Picture, at: datetime) -> Image:
    return Image(
        job=image.job,
        position=image.position,
        png=picture.png_hash,
        webp=picture.webp_hash,
        seed=image.seed,
        width=image.width,
        height=image.height,
        created_at=at,
        verdict="review",
        scores=image.scores,
        filter_version=image.filter_version,
    )
