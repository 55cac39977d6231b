"""Bytes by key in an object store: pictures by the hash of their content, checkpoints by job and step."""

import asyncio
import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore

from mezzotint.domain.errors import StorageFull, StorageUnavailable

T = TypeVar("T")


class Objects:
    """Objects in a folder. A put replaces the whole object at once and is on the disk when it returns.

    on_fault: called when the store fails.
    """

    def __init__(self, folder: Path, on_fault: Callable[[], None] = lambda: None) -> None:
        self._on_fault = on_fault
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._store = LocalStore(str(self._folder), automatic_cleanup=True)

    async def put(self, key: str, data: bytes) -> None:
        """Raises: StorageFull, StorageUnavailable."""
        await self._translated(partial(self._put, key, data))

    async def put_once(self, key: str, data: bytes) -> None:
        """Store content-addressed bytes: equal bytes are stored once. Raises: StorageFull, StorageUnavailable."""
        await self._translated(partial(self._put_once, key, data))

    async def get(self, key: str) -> bytes | None:
        """The object's bytes, or None when there is no such object. Raises: StorageUnavailable."""
        try:
            return await self._translated(partial(self._get, key))
        except FileNotFoundError:
            return None

    async def keys(self, prefix: str) -> list[str]:
        """The keys under a prefix such as `checkpoints/`. Raises: StorageUnavailable."""
        return await self._translated(partial(self._keys, prefix))

    async def delete(self, keys: list[str]) -> None:
        """Delete what is there of `keys`."""
        if keys:
            await self._translated(partial(self._delete, keys))

    async def _translated(self, work: Callable[[], T]) -> T:
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

    def _path(self, key: str) -> Path:
        path = self._folder / key
        if ".." in path.parts or not path.is_relative_to(self._folder):
            raise StorageUnavailable(f"{key!r} is not a key of this store")
        return path

    def _get(self, key: str) -> bytes:
        self._path(key)
        return bytes(obstore.get(self._store, key).bytes())

    def _keys(self, prefix: str) -> list[str]:
        return [str(meta["path"]) for page in obstore.list(self._store, prefix) for meta in page]

    def _put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        obstore.put(self._store, key, data)
        # the store writes aside and renames but does not sync: a power cut could keep the row and lose the file
        _sync(path)
        _sync(path.parent)

    def _put_once(self, key: str, data: bytes) -> None:
        path = self._path(key)
        if not (path.exists() and path.stat().st_size == len(data)):
            self._put(key, data)

    def _delete(self, keys: list[str]) -> None:
        for key in keys:
            self._path(key)
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                continue


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
