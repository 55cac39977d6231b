"""A picture from outside becomes a source: decoded within bounds, looked at, stored by its content."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isnan

import structlog
from PIL import Image as Pixels

from mezzotint.actions.finish import image_key
from mezzotint.actions.safety.refusals import keep_refusal
from mezzotint.actions.tenant_threads import TenantThreads
from mezzotint.domain.claims import Claims
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.ids import OwnerId, Sha256, TenantId
from mezzotint.domain.refusal import Refusal, RefusalCode, SafetyEvidence
from mezzotint.domain.task import Source
from mezzotint.domain.tier import Tier
from mezzotint.media import content_hash
from mezzotint.media.uploads import Reading, Undecodable
from mezzotint.media.uploads.decode import Decoded
from mezzotint.media.uploads.decoder_pool import DecoderPool, DecoderUnavailable
from mezzotint.policy.safety.appeals import PICTURE
from mezzotint.policy.safety.images import ImageVerdict, find_highest
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Objects, Refusals, Uploads

log = structlog.get_logger()
MAX_UPLOADS = 200
"""Uploads of one tenant at once: those it asked to be kept, and as many more that came with its requests."""
MAX_BYTES = 2 * 2**30
"""Bytes of all uploads of one tenant, as they are stored."""
FRESH = timedelta(minutes=1)
"""An upload that came with a request stays so long: its job may not be there yet."""
SWEEP_S = 3600.0
KEPT = timedelta(hours=24)
"""An upload that nothing uses is kept so long."""
TOO_MANY = Refusal(
    code=RefusalCode.TOO_MANY_UPLOADS,
    message=f"You have {MAX_UPLOADS} uploads, or {MAX_BYTES >> 30} GiB of them, already.",
    hint=f"Delete one (DELETE /v1/uploads/{{id}}); what nothing uses goes after {KEPT / timedelta(hours=1):g} hours.",
)
RETRY_AFTER_S = 5
MAX_DECODERS = 2
"""Pictures that are decoded at once, each in a process of up to 400 MB that gives way to requests. With one process, a
tenant's slowest picture would hold up everybody's."""
MAX_WAITING = 8
"""Pictures of one tenant that are decoded or wait; each is up to 12 MiB of memory."""


JudgePicture = Callable[[Pixels.Image, Tier], ImageVerdict]
"""The image filter's verdict on a picture of a user's tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploader:
    """Takes in pictures that users bring.

    judge: the image filter. is_listed: whether one of these hashes of files is on the blocklist. threads: tenants take
    turns in them, each with one picture at a time.
    """

    uploads: Uploads
    objects: Objects
    refusals: Refusals
    judge: JudgePicture
    is_listed: Callable[[Collection[Sha256]], Awaitable[bool]]
    decoders: DecoderPool = field(default_factory=DecoderPool)
    threads: TenantThreads = field(default_factory=lambda: TenantThreads(MAX_DECODERS, MAX_WAITING))


async def upload(uploader: Uploader, data: bytes, claims: Claims, now: datetime) -> Source | Refusal:
    """Keep the picture for jobs to come. The same pixels are kept once, under one name."""
    taken = await _decode(uploader, data, claims, Reading.PICTURE, now)
    if isinstance(taken, Refusal):
        return taken
    source, png = taken
    # the row first: a sweep deletes bytes that no row names
    if not await uploader.uploads.keep(claims.tenant, source, now, MAX_UPLOADS, MAX_BYTES, owner=claims.owner):
        return TOO_MANY
    await uploader.objects.put_once(upload_key(source.content), png)
    return source


async def take_along(
    uploader: Uploader, data: bytes, claims: Claims, now: datetime, reading: Reading = Reading.PICTURE
) -> Source | Refusal:
    """Take the picture that came with a request. It goes when others need its place and its jobs have ended."""
    taken = await _decode(uploader, data, claims, reading, now)
    if isinstance(taken, Refusal):
        return taken
    source, png = taken
    if not await uploader.uploads.take(claims.tenant, source, now, MAX_BYTES, owner=claims.owner):
        left = MAX_BYTES - source.num_bytes
        await _delete(uploader, await uploader.uploads.make_room(claims.tenant, MAX_UPLOADS, now - FRESH, left))
        if not await uploader.uploads.take(claims.tenant, source, now, MAX_BYTES, owner=claims.owner):
            return TOO_MANY
    await uploader.objects.put_once(upload_key(source.content), png)
    try:
        await _delete(uploader, await uploader.uploads.make_room(claims.tenant, MAX_UPLOADS, now - FRESH))
    except StorageUnavailable as error:  # the next one makes room
        log.warning("no room made for uploads", why=str(error))
    return source


async def remove(uploader: Uploader, tenant: TenantId, content: Sha256, owners: Collection[OwnerId]) -> bool:
    """Delete the upload of these owners. Returns False, and leaves it, while an open job begins with it."""
    gone = await uploader.uploads.drop(tenant, content, owners)
    await _delete(uploader, gone or [])
    return gone is not None


async def sweep_uploads(uploader: Uploader, now: datetime) -> int:
    """Delete uploads that nothing used for `KEPT`. Returns how many objects went."""
    before = now - KEPT
    gone = await uploader.uploads.forget(await uploader.uploads.find_unused(before), before)
    await _delete(uploader, gone)
    return len(gone)


async def read_source(objects: Objects, content: Sha256) -> bytes | None:
    """The PNG of a source, wherever it came from. Raises: StorageUnavailable."""
    return await objects.get(image_key(content, "png")) or await objects.get(upload_key(content))


def upload_key(content: Sha256) -> str:
    """Apart from finished pictures: what was uploaded is delivered to nobody."""
    return f"uploads/{content[:2]}/{content}.png"


async def _decode(
    uploader: Uploader, data: bytes, claims: Claims, reading: Reading, now: datetime
) -> tuple[Source, bytes] | Refusal:
    taken = await uploader.threads.run(claims.tenant, _take, uploader, data, claims.tier, reading)
    if isinstance(taken, tuple) and await uploader.is_listed([taken[0].content, content_hash(data)]):
        taken = _refuse_picture(ImageVerdict(verdict=SafetyVerdict.BLOCK))
    if isinstance(taken, Refusal) and taken.code is RefusalCode.UPLOAD_BLOCKED:
        return await keep_refusal(uploader.refusals, taken, content_hash(data), claims, now)
    return taken


def _refuse_picture(verdict: ImageVerdict) -> Refusal:
    about = f" ({verdict.category.about})" if verdict.category else ""
    return Refusal(
        code=RefusalCode.UPLOAD_BLOCKED,
        message=f"The picture did not pass the image filter{about} and was not kept.",
        hint="Choose another picture.",
        evidence=SafetyEvidence(
            category=verdict.category or "",
            scores={name: score for name, score in find_highest(verdict.scores).items() if not isnan(score)},
            stage=PICTURE,
            policy_version=verdict.version,
        ),
    )


async def _delete(uploader: Uploader, contents: Sequence[Sha256]) -> None:
    """Delete bytes that no row named; an upload that came meanwhile found them there, and gets them back."""
    for content in contents:
        key = upload_key(content)
        data = await uploader.objects.get(key)
        await uploader.objects.delete([key])
        if data is not None and await uploader.uploads.is_named(content):
            await uploader.objects.put_once(key, data)


def decode_picture(uploader: Uploader, data: bytes, reading: Reading) -> Decoded | Refusal:
    """Decode within bounds; blocks for up to seconds."""
    try:
        return uploader.decoders.decode(data, reading)
    except Undecodable as error:
        hint = "Send one PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF picture."
        return Refusal(code=RefusalCode.UPLOAD_INVALID, message=str(error), hint=hint)
    except DecoderUnavailable as error:
        log.error("no picture is decoded", why=str(error))
        message = "The server cannot read pictures at the moment."
        return Refusal(
            code=RefusalCode.OVERLOADED, message=message, hint="Try again later.", retry_after_s=RETRY_AFTER_S
        )


def view_picture(decoded: Decoded) -> Pixels.Image:
    """The picture as filters see it."""
    return Pixels.frombytes("RGB", decoded.view_size, decoded.view)


def _take(uploader: Uploader, data: bytes, tier: Tier, reading: Reading) -> tuple[Source, bytes] | Refusal:
    decoded = decode_picture(uploader, data, reading)
    if isinstance(decoded, Refusal):
        return decoded
    verdict = uploader.judge(view_picture(decoded), tier)
    if verdict.verdict is not SafetyVerdict.ALLOW:
        return _refuse_picture(verdict)
    png = decoded.png
    source = Source(content=content_hash(png), width=decoded.width, height=decoded.height, num_bytes=len(png))
    return source, png
