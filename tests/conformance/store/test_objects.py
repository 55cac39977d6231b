"""What every object store must do."""

from pathlib import Path

import pytest

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.store import Objects

pytestmark = pytest.mark.anyio


async def test_bytes_are_read_back(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    await objects.put("a/b.bin", b"one")
    await objects.put("a/b.bin", b"two")
    assert await objects.get("a/b.bin") == b"two"


async def test_a_missing_object_is_none(tmp_path: Path) -> None:
    assert await Objects(tmp_path).get("a/b.bin") is None


async def test_deleting_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    await objects.put("a", b"x")
    await objects.delete(["a", "b"])
    assert await objects.get("a") is None


async def test_content_addressed_bytes_are_written_once(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    await objects.put_once("images/x", b"same")
    written_at = (tmp_path / "images" / "x").stat().st_mtime_ns
    await objects.put_once("images/x", b"same")
    assert (tmp_path / "images" / "x").stat().st_mtime_ns == written_at


async def test_no_half_written_object_is_left_by_a_failed_put(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a file where a folder must be")
    with pytest.raises(StorageUnavailable):
        await Objects(tmp_path).put("a/b", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/outside"])
async def test_a_key_cannot_leave_the_folder(tmp_path: Path, key: str) -> None:
    objects = Objects(tmp_path / "objects")
    with pytest.raises(StorageUnavailable):
        await objects.put(key, b"x")
    assert not (tmp_path / "outside").exists()
