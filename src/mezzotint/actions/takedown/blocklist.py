"""Make a process know the blocklist's pictures, which its image filter compares every picture with.

The hashes of files are looked up in the database itself, at every upload and delivery.
"""

import asyncio
from collections.abc import Callable

from mezzotint.domain.ids import Sha256
from mezzotint.safety.image.perceptual_hash import HashIndex, PictureHash
from mezzotint.store import Takedowns

REFRESH_S = 5.0


class BlocklistReader:
    """apply: gets the index of all blocked pictures after each change that this or another process made."""

    def __init__(self, takedowns: Takedowns, apply: Callable[[HashIndex], None]) -> None:
        self._takedowns, self._apply = takedowns, apply
        self._version = (0, 0)

    async def refresh(self) -> None:
        """Read the blocked pictures again where they changed. Raises: StorageUnavailable."""
        version = await self._takedowns.blocklist_version()
        if version == self._version:
            return
        pictures = await self._takedowns.blocked_pictures()
        known = [
            (one.pdq, PictureHash(pixels=Sha256(one.pixels), pdq=one.pdq, quality=one.quality)) for one in pictures
        ]
        self._apply(await asyncio.to_thread(HashIndex, known))
        self._version = version
