"""A model's files, read as if a stranger had written them."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import pytest
import torch

from mezzotint.config import Settings
from mezzotint.domain.errors import ModelCorrupt, ModelMissing, StartError
from mezzotint.engine.models import files, integrity
from mezzotint.engine.models.describe import describe_model
from mezzotint.engine.upscaler import Upscaler
from mezzotint.main.served_models import find_upscaler

STARTER = files.locate("starter")
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the starter model without checksums."""
    folder = Path(shutil.copytree(STARTER, tmp_path / "starter"))
    (folder / "SHA256SUMS").unlink()
    return folder


def check_and_describe(folder: Path) -> None:
    files.check_model(folder)
    describe_model(folder)


def safetensors(header: Any, data: bytes = b"", claim: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return pack("<Q", len(text) if claim is None else claim) + text + data


def tensor(begin: Any, end: Any, **more: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [begin, end]} | more


HEADERS = {
    "a length beyond the file": safetensors({}, claim=2**63),
    "a length of all ones": safetensors({}, claim=2**64 - 1),
    "a length that wraps to a small one": safetensors({}, claim=2**64 - 8),
    "an entry that is no object": safetensors({"a": 5}),
    "no offsets": safetensors({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "offsets of text": safetensors({"a": tensor("0", "8")}, bytes(8)),
    "a negative offset": safetensors({"a": tensor(-8, 0)}),
    "an offset beyond the file": safetensors({"a": tensor(0, 8), "b": tensor(2**40, 2**40 + 8)}, bytes(16)),
    "two tensors in one place": safetensors({"a": tensor(0, 8), "b": tensor(0, 8)}, bytes(8)),
    "tensors that overlap": safetensors({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)),
    "a gap between tensors": safetensors({"a": tensor(0, 8), "b": tensor(12, 20)}, bytes(20)),
    "bytes behind the last tensor": safetensors({"a": tensor(0, 8)}, bytes(9)),
    "a shape of more bytes than its place": safetensors({"a": tensor(0, 8, shape=[3])}, bytes(8)),
    "a shape whose product wraps": safetensors({"a": tensor(0, 8, shape=[2**32, 2**32, 2])}, bytes(8)),
    "an unknown type": safetensors({"a": tensor(0, 8, dtype="X64")}, bytes(8)),
    "a list": safetensors([]),
    "a number": safetensors(b"7"),
    "not UTF-8": safetensors(b'{"\xff": 1}'),
    "a hundred thousand open brackets": safetensors(b"[" * 100_000),
    "a hundred thousand nested objects": safetensors(b'{"a":' * 100_000),
    "metadata that is nested": safetensors(b'{"__metadata__":' + b'{"a":' * 100_000),
}


@pytest.mark.parametrize("what", HEADERS)
def test_weights_whose_header_does_not_describe_the_file_are_refused(copy: Path, what: str) -> None:
    (copy / UNET).write_bytes(HEADERS[what])
    with pytest.raises(ModelCorrupt, match="unet"):
        files.check_model(copy)


def test_a_header_of_many_small_things_is_not_parsed(copy: Path) -> None:
    """17 MiB of JSON would become more than a gigabyte of objects."""
    (copy / UNET).write_bytes(safetensors(b"[" + b"[]," * (6 << 20) + b"[]]"))
    with pytest.raises(ModelCorrupt, match="not a safetensors file"):
        files.check_model(copy)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"a":' * 100_000, '{"_class_name": ' + "9" * 5000 + "}", '{"a": 1}' + " " * (9 << 20)]
)
@pytest.mark.parametrize("name", ["model_index.json", "mezzotint.json", "unet/config.json"])
def test_a_json_bomb_is_a_damaged_file(copy: Path, name: str, content: str) -> None:
    (copy / name).write_text(content)
    with pytest.raises(ModelCorrupt, match=name):
        check_and_describe(copy)


@pytest.mark.parametrize(
    "wrong",
    [
        {"native_width": "wide"},
        {"native_width": 1e400},
        {"tasks": [5]},
        {"tasks": 7},
        {"default_steps": []},
        {"knows": 3},
    ],
)
def test_a_card_of_wrong_types_is_a_damaged_file(copy: Path, wrong: dict[str, Any]) -> None:
    card = json.loads((copy / "mezzotint.json").read_text())
    (copy / "mezzotint.json").write_text(json.dumps(card | wrong))
    with pytest.raises(ModelCorrupt):
        describe_model(copy)


@pytest.mark.parametrize("part", ["..", "../other", "/etc", "a/b"])
def test_an_index_names_no_part_outside_its_folder(copy: Path, part: str) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {part: ["diffusers", "AutoencoderKL"]}))
    with pytest.raises(ModelCorrupt, match="not a folder in it"):
        files.check_model(copy)


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def as_link_outside(path: Path) -> None:
    outside = path.parents[2] / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize("replaced", [as_fifo, as_device, as_folder, as_link_to_itself, as_link_outside])
@pytest.mark.parametrize("name", [UNET, "model_index.json", "mezzotint.json", "vae/config.json", "SHA256SUMS"])
def test_what_is_no_regular_file_of_the_folder_is_refused(
    copy: Path, name: str, replaced: Callable[[Path], None]
) -> None:
    """None of them may hold up the start: a FIFO that nobody writes to would for ever."""
    shutil.copy(STARTER / "SHA256SUMS", copy)
    replaced(copy / name)
    with pytest.raises((ModelCorrupt, ModelMissing), match=Path(name).name):
        check_and_describe(copy)


def test_a_part_that_is_a_link_out_of_the_folder_is_refused(copy: Path) -> None:
    (copy / "unet").rename(copy.parent / "elsewhere")
    (copy / "unet").symlink_to(copy.parent / "elsewhere")
    with pytest.raises(ModelCorrupt, match="outside the model's folder"):
        files.check_model(copy)


def test_a_hubs_cache_with_its_links_to_blobs_is_read(copy: Path) -> None:
    cache = copy.parent / "models--me--tiny"
    snapshot = cache / "snapshots" / "0123abc"
    shutil.copytree(copy, snapshot)
    (cache / "blobs").mkdir()
    for number, file in enumerate(path for path in snapshot.rglob("*") if path.is_file()):
        blob = cache / "blobs" / f"{number:064x}"
        file.rename(blob)
        file.symlink_to(Path(os.path.relpath(blob, file.parent)))
    files.check_model(snapshot)
    assert describe_model(snapshot).native_width == 64
    (snapshot / UNET).unlink()
    (snapshot / UNET).symlink_to(copy / UNET)
    with pytest.raises(ModelCorrupt, match="outside"):
        files.check_model(snapshot)


def sums(folder: Path, *names: str) -> str:
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def test_weights_that_the_checksums_do_not_list_are_refused(copy: Path) -> None:
    shutil.copy(STARTER / "SHA256SUMS", copy)
    files.check_model(copy)
    shutil.copy(copy / UNET, copy / "unet" / "another.safetensors")
    with pytest.raises(ModelCorrupt, match=r"another\.safetensors is not listed"):
        files.check_model(copy)
    with (copy / "SHA256SUMS").open("a") as file:
        file.write(sums(copy, "unet/another.safetensors"))
    files.check_model(copy)


@pytest.mark.parametrize(
    "line",
    [
        "0" * 64 + "  ../outside.bin",
        "0" * 64 + "  /etc/hostname",
        "0" * 64,
        "short  mezzotint.json",
        "x" * 64 + "  mezzotint.json",
        "0" * 64 + "  unet/../../outside.bin",
        "\0" * 64,
    ],
)
def test_a_line_that_is_no_checksum_of_a_file_in_the_folder_is_refused(copy: Path, line: str) -> None:
    (copy / "SHA256SUMS").write_text(sums(copy, UNET, "vae/diffusion_pytorch_model.safetensors") + line + "\n")
    with pytest.raises(ModelCorrupt, match="line 3 of"):
        files.check_model(copy)


def test_a_file_is_listed_once(copy: Path) -> None:
    """Two sums of one file: either could be the one that is believed."""
    (copy / "SHA256SUMS").write_text(2 * sums(copy, UNET))
    with pytest.raises(ModelCorrupt, match=r"line 2 of .* again"):
        files.check_model(copy)


def test_the_marks_of_binary_files_in_checksums_are_understood(copy: Path) -> None:
    lines = sums(copy, UNET, "vae/diffusion_pytorch_model.safetensors")
    (copy / "SHA256SUMS").write_text(lines.replace("  ", " *").replace("\n", "\r\n"))
    files.check_model(copy)


@pytest.mark.parametrize("name", ["../vae/diffusion_pytorch_model.safetensors", "/etc/hostname", "config.json", 5])
def test_an_index_of_shards_names_weights_beside_it_alone(copy: Path, name: Any) -> None:
    index = copy / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": Path(UNET).name}}))
    files.check_model(copy)
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": name}}))
    with pytest.raises(ModelCorrupt, match=r"index\.json"):
        files.check_model(copy)


@pytest.mark.parametrize("replaced", [as_fifo, as_device, as_folder])
def test_an_upscaler_that_is_no_regular_file_is_refused_before_the_start(
    tmp_path: Path, replaced: Callable[[Path], None]
) -> None:
    path = tmp_path / "net.pth"
    path.touch()
    replaced(path)
    with pytest.raises(StartError, match=r"net\.pth"):
        find_upscaler(Settings(upscaler=str(path)))


@pytest.mark.parametrize("content", [{"params": 5}, {"params_ema": [1]}, [torch.zeros(2)]])
def test_an_upscaler_without_tensors_by_name_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "net.pth"
    torch.save(content, path)
    with pytest.raises(ModelCorrupt):
        Upscaler.load(path, "cpu")


def test_weights_of_the_own_upscaler_are_all_listed() -> None:
    path = find_upscaler(Settings())
    assert path is not None
    integrity.check_weights(path, path.parent)
