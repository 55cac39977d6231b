"""The data folder: made, locked, with the secret that signs tokens."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mezzotint.config import Settings
from mezzotint.domain.errors import DataFolderBusy, DataFolderUnusable, SettingInvalid
from mezzotint.domain.tenant import is_tenant_name

MIN_FREE_BYTES = 64 * 1024 * 1024
"""Less room than this and a server would fail within minutes: it does not start."""
MIN_SECRET_BYTES = 32


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises: DataFolderBusy, DataFolderUnusable."""
    make(folder)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < MIN_FREE_BYTES:
        raise DataFolderUnusable(f"the disk of {folder} is full: {free_bytes // 1024} KiB are free")
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataFolderBusy(f"another server works in {folder}") from error
        yield


def make(folder: Path) -> None:
    """Raises: DataFolderUnusable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise DataFolderUnusable(f"{folder} cannot be used: {error.strerror}") from error


def secret_of(settings: Settings) -> bytes:
    """The key that signs tokens: from the settings, or made once in the data folder, readable by its owner alone.

    Raises: SettingInvalid, DataFolderUnusable.
    """
    if settings.token_secret is not None:
        secret = settings.token_secret.get_secret_value().encode()
        if len(secret) < MIN_SECRET_BYTES:
            raise SettingInvalid(f"token_secret: {len(secret)} bytes are too few, use {MIN_SECRET_BYTES} or more")
        return secret
    make(settings.data)
    path = settings.data / "secret"
    try:
        if not path.exists():
            _write_once(path, secrets.token_hex(MIN_SECRET_BYTES))
        secret = path.read_bytes().strip()
    except OSError as error:
        raise DataFolderUnusable(f"{path} cannot be used: {error.strerror}") from error
    if len(secret) < MIN_SECRET_BYTES:
        raise DataFolderUnusable(f"{path} is damaged; delete it to get a new one (old tokens end)")
    return secret


def _write_once(path: Path, text: str) -> None:
    """Written aside and linked into place: two processes that start together agree on one secret."""
    aside = path.with_name(f".secret-{secrets.token_hex(4)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, path)
    except FileExistsError:
        pass  # the other process was first: its secret is the one
    finally:
        aside.unlink()


def check_tenant(name: str) -> str:
    """Raises: SettingInvalid."""
    if not is_tenant_name(name):
        raise SettingInvalid(f"tenant {name[:80]!r}: use 1 to 64 letters, digits, '.', '_' or '-'")
    return name
