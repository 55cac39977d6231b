"""The stores, filter and clock of takedowns."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mezzotint.actions.finish import BackingServices, image_key
from mezzotint.actions.upload import upload_key
from mezzotint.domain.safety.takedown import PictureKind, StoredPicture, Takedown
from mezzotint.store import EncryptedObjects, Takedowns

QUARANTINE = "quarantine/"
"""Prefix of the objects of pictures that were taken down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakedownWork:
    """find_category: of the prompt and the negative prompt, by today's text filter; None: it would pass. purge: orders
    caches to drop these paths and returns why they did not; None: there are no caches. keep_for: how long a takedown
    can be undone.
    """

    takedowns: Takedowns
    backing: BackingServices
    quarantine: EncryptedObjects
    now: Callable[[], datetime]
    find_category: Callable[[str, str], str | None]
    purge: Callable[[Takedown, Sequence[str]], Awaitable[str | None]] | None = None
    keep_for: timedelta = field(default=timedelta(days=30))


def list_keys(picture: StoredPicture) -> list[str]:
    """The keys of a picture's objects: of every variant that is kept of it."""
    if picture.kind is PictureKind.UPLOADED:
        return [upload_key(picture.png)]
    return [image_key(picture.png, "png")] + ([image_key(picture.webp, "webp")] if picture.webp is not None else [])
