"""Bytes by key in an object store: pictures by the hash of their content, checkpoints by job and step."""

import asyncio
import errno
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, S3Store

from mezzotint.config import MIN_FREE_BYTES
from mezzotint.domain.errors import SettingInvalid, StorageFull, StorageUnavailable

T = TypeVar("T")
_PARTIAL = re.compile(r"#\d+$")
"""The end of the name under which obstore writes an object aside; it lists no such file."""
RETRY_S = 5.0
"""A call keeps trying so long by itself; callers that need more patience have their own."""


def check_room(folder: Path) -> None:
    """Raises: StorageFull if the folder's disk has less than `MIN_FREE_BYTES` of room; OSError if it is away."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < MIN_FREE_BYTES:
        raise StorageFull(f"the disk of {folder.name} is full: {free_bytes // 1024} KiB are free")


class Objects:
    """Objects in a folder or an S3 bucket (`s3://bucket/prefix`). A put replaces the whole object at once and is
    durable when it returns.

    s3: `endpoint`, `region`, `access_key_id`, `secret_access_key`, those that are known; the rest comes from where the
    machine runs (its role). on_fault: called when the store fails.
    """

    def __init__(
        self, place: Path | str, on_fault: Callable[[], None] = lambda: None, *, s3: Mapping[str, str] | None = None
    ) -> None:
        self._on_fault = on_fault
        self._folder: Path | None = None
        self._store: LocalStore | S3Store
        if isinstance(place, str) and "://" in place:
            self._store = _open_bucket(place, s3 or {})
        else:
            Path(place).mkdir(parents=True, exist_ok=True)
            self._folder = Path(place).resolve()
            self._store = LocalStore(str(self._folder), automatic_cleanup=True)

    async def put(self, key: str, data: bytes) -> None:
        """Raises: StorageFull, StorageUnavailable."""
        await self._translate_faults(partial(self._put, key, data))

    async def put_once(self, key: str, data: bytes) -> None:
        """Store content-addressed bytes: equal bytes are stored once. Raises: StorageFull, StorageUnavailable."""
        await self._translate_faults(partial(self._put_once, key, data))

    async def get(self, key: str) -> bytes | None:
        """The object's bytes, or None when there is no such object. Raises: StorageUnavailable."""
        self._check(key)
        try:
            return await self._translate_faults(lambda: bytes(obstore.get(self._store, key).bytes()))
        except FileNotFoundError:
            return None

    async def sizes(self, keys: Collection[str]) -> dict[str, int]:
        """Bytes of each object that is there. Raises: StorageUnavailable."""

        def measure() -> dict[str, int]:
            found: dict[str, int] = {}
            for key in keys:
                self._check(key)
                with suppress(FileNotFoundError, NotFoundError):
                    found[key] = int(obstore.head(self._store, key)["size"])
            return found

        return await self._translate_faults(measure) if keys else {}

    async def keys(self, prefix: str, before: datetime | None = None) -> list[str]:
        """The keys under a prefix such as `checkpoints/`, or those written before an instant.

        Raises: StorageUnavailable.
        """
        return await self._translate_faults(partial(self._keys, prefix, before))

    async def delete(self, keys: list[str]) -> None:
        """Delete what is there of `keys`. Raises: StorageUnavailable."""
        if keys:
            await self._translate_faults(partial(self._delete, keys))

    async def delete_partial_writes(self, before: datetime) -> int:
        """Delete the files that killed writes left beside their objects, and return how many; a bucket has none.

        before: only those that were last written before it: younger ones may be under way. Raises: StorageUnavailable.
        """
        return await self._translate_faults(partial(self._delete_partial_writes, before.timestamp()))

    async def check(self) -> None:
        """Raises: StorageUnavailable if the store does not answer, StorageFull if its disk has no room for pictures."""

        def check_answer() -> None:
            if self._folder is not None:
                check_room(self._folder)
                return
            with suppress(FileNotFoundError, NotFoundError):  # the store answers, and that nothing has this name
                obstore.head(self._store, "readyz")

        await self._translate_faults(check_answer)

    async def _translate_faults(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (FileNotFoundError, NotFoundError) as error:
            raise FileNotFoundError(str(error)) from error
        except (OSError, obstore.exceptions.BaseError) as error:
            self._on_fault()
            if (
                getattr(error, "errno", None) == errno.ENOSPC
                or "No space left" in str(error)
                or "os error 28" in str(error)
            ):
                raise StorageFull("no space left on the disk of the data folder") from error
            raise StorageUnavailable(f"the object store failed: {type(error).__name__}") from error

    def _check(self, key: str) -> None:
        if key.startswith("/") or ".." in key.split("/"):
            raise StorageUnavailable(f"{key!r} is not a key of this store")

    def _keys(self, prefix: str, before: datetime | None) -> list[str]:
        found = [meta for page in obstore.list(self._store, prefix) for meta in page]
        return [str(meta["path"]) for meta in found if before is None or meta["last_modified"] < before]

    def _delete_partial_writes(self, before_s: float) -> int:
        num_deleted = 0
        for folder, _, names in os.walk(self._folder) if self._folder is not None else ():
            for path in (Path(folder, name) for name in names if _PARTIAL.search(name)):
                with suppress(FileNotFoundError):  # the write has ended meanwhile
                    if path.stat().st_mtime < before_s:
                        path.unlink()
                        num_deleted += 1
        return num_deleted

    def _put(self, key: str, data: bytes) -> None:
        self._check(key)
        obstore.put(self._store, key, data)
        if self._folder is not None:
            # the store writes aside and renames but does not sync: a power cut could keep the row and lose the file
            _sync(self._folder / key)
            _sync((self._folder / key).parent)

    def _put_once(self, key: str, data: bytes) -> None:
        self._check(key)
        try:
            is_there = obstore.head(self._store, key)["size"] == len(data)
        except (FileNotFoundError, NotFoundError):
            is_there = False
        if not is_there:
            self._put(key, data)

    def _delete(self, keys: list[str]) -> None:
        for key in keys:
            self._check(key)
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                continue


def _open_bucket(url: str, s3: Mapping[str, str]) -> S3Store:
    """Raises: SettingInvalid."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise SettingInvalid(f"objects: {scheme}://... is not spoken; use a folder or s3://bucket/prefix")
    is_plain = s3.get("endpoint", "").startswith("http://")
    return S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        config={**s3},  # type: ignore[arg-type]  # its keys are those of S3Config
        client_options={"allow_http": is_plain, "connect_timeout": "3s", "timeout": "30s"},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=RETRY_S)},
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
