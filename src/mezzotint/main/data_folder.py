"""The data folder: created, closed to other users, locked; it holds the secret that signs tokens."""

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from mezzotint.config import MIN_FREE_BYTES, Settings
from mezzotint.domain.errors import ArgumentInvalid, DatabaseMissing, DataFolderBusy, DataFolderUnusable, SettingInvalid
from mezzotint.domain.tenant import is_tenant_name

MIN_SECRET_BYTES = 32


@contextmanager
def lock_data_folder(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises: DataFolderBusy, DataFolderUnusable."""
    prepare_data_folder(folder)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < MIN_FREE_BYTES:
        raise DataFolderUnusable(f"the disk of {folder} is full: {free_bytes // 1024} KiB are free")
    path = folder / "lock"
    lock = _open_lock(path)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataFolderBusy(f"another server works in {folder} (`fuser {path}` names its process)") from error
        yield
    finally:
        os.close(lock)


def prepare_data_folder(folder: Path) -> None:
    """Create the folder, or take the one that is there, for this process's user alone.

    The process's umask becomes 077: every file that the database, the object store and the engine write from here on
    is readable by its owner alone. Modes of an older installation are tightened, which is said on standard error.
    Raises: DataFolderUnusable.
    """
    os.umask(0o077)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"x")
        my_uid = probe.stat().st_uid  # not always this process's: NFS and user namespaces map it
        probe.unlink()
        num_tightened = _tighten(folder, my_uid)
    except OSError as error:
        raise DataFolderUnusable(f"{folder} cannot be used: {error.strerror}") from error
    if num_tightened:
        message = f"{folder} was open to other users: {num_tightened} modes set to 0700 (folders) and 0600 (files)"
        typer.echo(message, err=True)


def _tighten(folder: Path, my_uid: int) -> int:
    """Take every right of others from the folder and what it holds. Returns how many modes changed.

    A subfolder that is closed already is not looked into: nobody else comes past it, and it may hold a million objects.
    Raises: DataFolderUnusable, when another user owns a file here, who could have written the secret or holds the lock.
    """
    found = folder.stat()
    owners = {my_uid, os.geteuid(), found.st_uid, 0}
    if found.st_uid not in {my_uid, 0} and os.geteuid() != 0:
        raise DataFolderUnusable(f"{folder} belongs to another user (uid {found.st_uid}); use a folder of your own")
    num_changed, is_closed = _close(folder, found.st_mode)
    if not is_closed:
        message = f"Warning: {folder} belongs to root and stays open to others; give it to this user, with mode 0700"
        typer.echo(message, err=True)
    with os.scandir(folder) as entries:
        for entry in entries:
            owner = entry.stat(follow_symlinks=False).st_uid
            if owner not in owners:
                raise DataFolderUnusable(
                    f"{entry.path} belongs to another user (uid {owner}): delete it, or give it back with chown"
                )
            num_changed += _tighten_entry(entry)
    return num_changed


def _tighten_entry(entry: os.DirEntry[str]) -> int:
    """Links are left alone, and what they lead to: an operator may keep the objects on another disk."""
    if entry.is_symlink():
        return 0
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
        num_changed, _ = _close(Path(entry.path), mode)
        if num_changed and stat.S_ISDIR(mode):
            with os.scandir(entry.path) as entries:
                num_changed += sum(_tighten_entry(inner) for inner in entries)
    except FileNotFoundError:  # another process's aside file, gone meanwhile
        return 0
    return num_changed


def _close(path: Path, mode: int) -> tuple[int, bool]:
    """Returns how many modes changed, and whether only the owner has rights now."""
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)) or not mode & 0o077:
        return 0, True
    try:
        path.chmod(stat.S_IMODE(mode) & 0o700)
    except PermissionError:
        return 0, False
    return 1, True


def _open_lock(path: Path) -> int:
    """A descriptor of a plain file that nobody else can hold. Raises: DataFolderUnusable."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataFolderUnusable(f"{path} cannot be used as a lock: {error.strerror}; delete it") from error
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        os.close(lock)
        raise DataFolderUnusable(f"{path} is not a plain file; delete it")
    return lock


def load_secret(settings: Settings, *, make: bool = True) -> bytes:
    """The key that signs tokens: from the settings, or made once in the data folder, readable by its owner alone.

    make: whether one is made where there is none. Raises: SettingInvalid, DataFolderUnusable, DatabaseMissing.
    """
    if settings.token_secret is not None:
        secret = settings.token_secret.get_secret_value().encode()
        if len(secret) < MIN_SECRET_BYTES:
            raise SettingInvalid(f"token_secret: {len(secret)} bytes are too few, use {MIN_SECRET_BYTES} or more")
        return secret
    path = settings.data / "secret"
    if not make and not path.exists():
        raise DatabaseMissing(f"there is no secret {path.resolve()}: no server has worked in that folder")
    prepare_data_folder(settings.data)
    try:
        if not path.exists():
            _write_once(path, secrets.token_hex(MIN_SECRET_BYTES))
        secret = path.read_bytes().strip()
    except OSError as error:
        raise DataFolderUnusable(f"{path} cannot be used: {error.strerror}") from error
    if len(secret) < MIN_SECRET_BYTES:
        raise DataFolderUnusable(f"{path} is damaged; delete it to get a new one (old tokens end)")
    return secret


def make_ray_token(data: Path) -> Path:
    """The file of the token without which nobody speaks to the Ray of this machine: made once, readable by its owner
    alone. Raises: DataFolderUnusable."""
    path = data.resolve() / "ray-token"
    try:
        if not path.exists():
            _write_once(path, secrets.token_hex(MIN_SECRET_BYTES))
    except OSError as error:
        raise DataFolderUnusable(f"{path} cannot be made: {error.strerror}") from error
    return path


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


def check_tenant_name(name: str) -> str:
    """Raises: ArgumentInvalid."""
    if not is_tenant_name(name):
        raise ArgumentInvalid(f"tenant {name[:80]!r}: use 1 to 64 letters, digits, '.', '_' or '-'")
    return name
