"""Passwords: a thread of low priority hashes and checks them, and old hashes are told from today's."""

import os
import sys
import threading

import pytest
from argon2 import PasswordHasher

from mezzotint.store.accounts.passwords import NICENESS, Passwords

pytestmark = pytest.mark.anyio


class _Observed(PasswordHasher):
    """Remembers the thread that worked last, and its priority."""

    thread = ""
    niceness = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.thread = threading.current_thread().name
        self.niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        return super().hash(password, salt=salt)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority is the whole process's")
async def test_hashing_yields_to_everything_else() -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    hasher = _Observed(time_cost=1, memory_cost=8, parallelism=1)
    await Passwords(hasher).hash("a password")
    assert hasher.thread.startswith("passwords")
    assert hasher.niceness == NICENESS
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


async def test_a_right_password_passes_and_a_hash_of_other_parameters_is_old() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("a password")
    assert await passwords.is_right(hashed, "a password")
    assert not await passwords.is_right(hashed, "another")
    assert not await passwords.is_right(None, "nobody's password")
    assert not passwords.is_old(hashed)
    assert passwords.is_old(PasswordHasher(3, 64 * 1024, 4).hash("a password"))
