"""Passwords are kept as argon2id hashes, made and checked by one thread that yields to everything else.

A crowd of sign-ins waits for its turn; it takes neither a core nor the caches from requests and from drawing.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")
MEMORY_KIB, NUM_PASSES, NUM_LANES = 19 * 1024, 2, 1
"""Parameters of argon2id: one of the equally strong settings of OWASP's Password Storage Cheat Sheet, some 27 ms and
19 MiB a password. Those with more memory take up to 200 ms and displace everybody's caches."""
NICENESS = 19


class Passwords:
    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(NUM_PASSES, MEMORY_KIB, NUM_LANES)

        def lower_priority() -> None:
            if sys.platform == "linux":  # elsewhere a priority is the whole process's
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)

        self._thread = ThreadPoolExecutor(1, "passwords", initializer=lower_priority)
        self._nobodys = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        return await self._run(self._hasher.hash, password)

    async def is_right(self, hashed: str | None, password: str) -> bool:
        """Check a password against its hash. hashed: None where there is no such user; takes as long, answers False."""
        return await self._run(self._verify, hashed or self._nobodys, password) and hashed is not None

    def is_old(self, hashed: str) -> bool:
        """Say whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
