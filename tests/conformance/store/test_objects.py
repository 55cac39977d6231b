"""What every object store must do."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mezzotint.domain.errors import SettingInvalid, StorageUnavailable
from mezzotint.store import Objects
from tests.servers import free_port

pytestmark = pytest.mark.anyio


async def test_bytes_are_read_back(objects: Objects) -> None:
    await objects.put("a/b.bin", b"one")
    await objects.put("a/b.bin", b"two")
    assert await objects.get("a/b.bin") == b"two"


async def test_a_missing_object_is_none(objects: Objects) -> None:
    assert await objects.get("a/b.bin") is None


async def test_deleting_what_is_not_there_is_no_error(objects: Objects) -> None:
    await objects.put("a", b"x")
    await objects.delete(["a", "b"])
    assert await objects.get("a") is None


async def test_keys_are_listed_by_prefix_and_can_be_read(objects: Objects) -> None:
    for key in ("checkpoints/j1/a", "checkpoints/j2/b", "images/c"):
        await objects.put(key, key.encode())
    keys = await objects.keys("checkpoints/")
    assert sorted(keys) == ["checkpoints/j1/a", "checkpoints/j2/b"]
    assert [await objects.get(key) for key in keys] == [key.encode() for key in keys]


async def test_content_addressed_bytes_may_be_stored_again(objects: Objects) -> None:
    for _ in range(2):
        await objects.put_once("images/x", b"same")
    assert await objects.get("images/x") == b"same"


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/outside"])
async def test_a_key_cannot_leave_its_place(objects: Objects, tmp_path: Path, key: str) -> None:
    with pytest.raises(StorageUnavailable):
        await objects.put(key, b"x")
    assert not list(tmp_path.rglob("outside"))


async def test_content_addressed_bytes_are_written_once(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    await objects.put_once("images/x", b"same")
    written_at = (tmp_path / "images" / "x").stat().st_mtime_ns
    await objects.put_once("images/x", b"same")
    assert (tmp_path / "images" / "x").stat().st_mtime_ns == written_at


async def test_no_half_written_object_is_left_by_a_failed_put(tmp_path: Path) -> None:
    faults: list[str] = []
    (tmp_path / "a").write_bytes(b"a file where a folder must be")
    with pytest.raises(StorageUnavailable):
        await Objects(tmp_path, on_fault=lambda: faults.append("put")).put("a/b", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert faults == ["put"]


async def test_a_store_that_does_not_answer_is_named() -> None:
    options = {"endpoint": f"http://127.0.0.1:{free_port()}", "region": "us-east-1"}
    objects = Objects("s3://media", s3={**options, "access_key_id": "a", "secret_access_key": "b"})
    with pytest.raises(StorageUnavailable):
        await objects.put("a", b"x")


@pytest.mark.parametrize("place", ["gs://bucket", "s3://", "http://host/bucket"])
def test_a_place_that_is_not_spoken_is_refused_at_the_start(place: str) -> None:
    with pytest.raises(SettingInvalid):
        Objects(place)


async def test_what_a_killed_write_left_is_deleted_once_it_is_old(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    await objects.put("quarantine/td_1/a.png", b"whole")
    folder = tmp_path / "quarantine" / "td_1"
    for name in ("a.png#1", "b.png#12"):
        (folder / name).write_bytes(b"half")
    os.utime(folder / "a.png#1", (1_000, 1_000))
    assert await objects.delete_partial_writes(datetime.fromtimestamp(2_000, UTC)) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png#12"]
    assert await objects.get("quarantine/td_1/a.png") == b"whole"
