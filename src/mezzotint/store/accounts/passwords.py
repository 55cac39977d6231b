"""Passwords are kept as argon2id hashes, made and checked off the event loop, a few at a time."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_AT_ONCE = 2
"""Each takes 64 MiB and a core for some 50 ms: more at once would let a crowd of sign-ins starve everything else."""


class Passwords:
    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = asyncio.Semaphore(MAX_AT_ONCE)
        self._nobodys = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_right(self, hashed: str | None, password: str) -> bool:
        """Whether the password is the one. hashed: None where there is no such user; takes as long, answers False."""
        async with self._turn:
            return await asyncio.to_thread(self._verify, hashed or self._nobodys, password) and hashed is not None

    def is_old(self, hashed: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False
