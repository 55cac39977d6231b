"""A model's files, read as if a stranger had written them.

A file must be a regular one and lie in its model's folder. A hub's cache links each file to a blob beside the
snapshot, so those links are followed within that model's part of the cache.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from mezzotint.domain.errors import ModelCorrupt, ModelMissing

SUMS = "SHA256SUMS"
MAX_TEXT_BYTES = 8 << 20
"""Size limit of a JSON file or of SHA256SUMS; the index of a model in a hundred files has some 200 KB."""
MAX_HEADER_BYTES = 16 << 20
"""Size limit of the header of a safetensors file: some 100,000 tensors. safetensors itself would parse 100 MB."""
WEIGHTS_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf"})
CHUNK_BYTES = 4 << 20
EXPONENTS = {
    "F64": (np.uint64, np.uint64(0x7FF0 << 48)),
    "F32": (np.uint32, np.uint32(0x7F80 << 16)),
    "F16": (np.uint16, np.uint16(0x7C00)),
    "BF16": (np.uint16, np.uint16(0x7F80)),
    "F8_E5M2": (np.uint8, np.uint8(0x7C)),
    "F8_E4M3": (np.uint8, np.uint8(0x7F)),
}
"""dtype -> its bits as an integer, and those that are all set in a NaN or an infinity."""
SUMS_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def read_json(path: Path, folder: Path | None) -> dict[str, Any]:
    """A JSON object of the model in `folder`; None: wherever the path leads. Raises: ModelMissing, ModelCorrupt."""
    try:
        value = json.loads(_read_text(path, folder))
    except (ValueError, RecursionError) as error:
        raise ModelCorrupt(f"{path} is not JSON") from error
    if not isinstance(value, dict):
        raise ModelCorrupt(f"{path} is not a JSON object")
    return value


def check_weights(path: Path, folder: Path | None = None) -> None:
    """Look at one weights file without reading its tensors; of safetensors the header must describe the whole file.

    folder: its model's, which it must lie in; None: the file stands for itself. Raises: ModelMissing, ModelCorrupt.
    """
    with _open_regular(path, folder) as file:
        if path.suffix != ".safetensors":
            return
        num_bytes = os.fstat(file.fileno()).st_size
        header_bytes = int.from_bytes(file.read(8), "little")
        if num_bytes < 8 or header_bytes > min(num_bytes - 8, MAX_HEADER_BYTES):
            raise ModelCorrupt(f"{path} is not a safetensors file, or is cut off")
    try:
        with safe_open(path, framework="np"):  # checks types, shapes, gaps, overlaps and the end, without torch
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelCorrupt(f"{path} has a damaged header: {error}") from error


def read_header(path: Path) -> dict[str, Any]:
    """dtype, shape and data_offsets of each tensor of a safetensors file that passed `check_weights`.

    Raises: ModelMissing, ModelCorrupt.
    """
    with _open_regular(path, None) as file:
        text = file.read(int.from_bytes(file.read(8), "little"))
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelCorrupt(f"{path} has a damaged header") from error
    return {name: one for name, one in header.items() if name != "__metadata__"}


def check_finite(path: Path) -> None:
    """Read all numbers of a safetensors file that passed `check_weights`: none may be NaN or infinite.

    It takes about a second a gigabyte, and needs no torch. Raises: ModelMissing, ModelCorrupt.
    """
    header = read_header(path)
    with _open_regular(path, None) as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        for name, one in header.items():
            if one["dtype"] not in EXPONENTS:
                continue
            kind, exponent = EXPONENTS[one["dtype"]]
            begin, end = one["data_offsets"]
            file.seek(start + begin)
            while begin < end:
                numbers = np.frombuffer(file.read(min(end - begin, CHUNK_BYTES)), dtype=kind)
                if not len(numbers):
                    raise ModelCorrupt(f"{path} is cut off")
                if ((numbers & exponent) == exponent).any():
                    raise ModelCorrupt(f"{path} holds numbers that are not finite (NaN or infinite), in {name}")
                begin += numbers.nbytes


def check_shards(index: Path, folder: Path | None) -> None:
    """The index of weights in several files may name files beside it alone. Raises: ModelMissing, ModelCorrupt."""
    names = read_json(index, folder).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ModelCorrupt(f"{index} has no weight_map of file names")
    for name in sorted(set(names.values())):
        if name != PurePosixPath(name).name or Path(name).suffix != ".safetensors":
            raise ModelCorrupt(f"{index} names {name!r}, which is not a safetensors file beside it")
        check_weights(index.parent / name, folder)


def check_sums(folder: Path) -> None:
    """Compare the files with `SHA256SUMS`, if it is there; it must then list every weights file.

    Raises: ModelMissing, ModelCorrupt.
    """
    if not os.path.lexists(folder / SUMS):
        return
    expected = _read_sums(folder)
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in WEIGHTS_SUFFIXES and file.relative_to(folder).as_posix() not in expected:
            raise ModelCorrupt(f"{file} is not listed in SHA256SUMS: delete it, or add its SHA-256 there")
    for name, sha256 in expected.items():
        with _open_regular(folder / name, folder) as listed:
            if hashlib.file_digest(listed, "sha256").hexdigest() != sha256:
                raise ModelCorrupt(f"{folder / name} is damaged: its SHA-256 is not the one in SHA256SUMS")


def _read_sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by its name relative to `folder`."""
    sums: dict[str, str] = {}
    for number, line in enumerate(_read_text(folder / SUMS, folder).splitlines(), 1):
        if not line.strip():
            continue
        found = SUMS_LINE.fullmatch(line.rstrip())
        name = PurePosixPath(found[2].removeprefix("./")) if found else PurePosixPath("/")
        if found is None or name.is_absolute() or ".." in name.parts:
            raise ModelCorrupt(f"line {number} of {folder / SUMS} is not a SHA-256 and a file name in the folder")
        if str(name) in sums:
            raise ModelCorrupt(f"line {number} of {folder / SUMS} names {str(name)!r} again")
        sums[str(name)] = found[1].lower()
    return sums


def _read_text(path: Path, folder: Path | None) -> str:
    """Raises: ModelMissing, ModelCorrupt."""
    with _open_regular(path, folder) as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise ModelCorrupt(f"{path} has more than {MAX_TEXT_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ModelCorrupt(f"{path} is not UTF-8") from error


@contextmanager
def _open_regular(path: Path, folder: Path | None) -> Iterator[BufferedReader]:
    """A regular file, open. A FIFO or a device is refused before it is opened: opening one may wait for ever.

    Raises: ModelMissing, ModelCorrupt.
    """
    try:
        real = path.resolve(strict=True)
        if folder is not None and not real.is_relative_to(_find_bounds(folder)):
            raise ModelCorrupt(f"{path} is a link to {real}, outside the model's folder: put the file itself there")
        if not stat.S_ISREG(real.stat().st_mode):
            raise ModelCorrupt(f"{path} is not a regular file")
        file = real.open("rb")
    except FileNotFoundError as error:
        raise ModelMissing(f"{path} is missing") from error
    except RuntimeError as error:  # links in a circle
        raise ModelCorrupt(f"{path} is a link to itself") from error
    except OSError as error:
        raise ModelMissing(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in a name
        raise ModelCorrupt(f"{path} is not the name of a file") from error
    with file:
        yield file


def _find_bounds(folder: Path) -> Path:
    """The folder that a model's files may lie in: of a hub's snapshot, the model's whole part of the cache."""
    real = folder.resolve(strict=True)
    for snapshot in (real, *real.parents):
        if snapshot.parent.name == "snapshots" and snapshot.parent.parent.name.startswith("models--"):
            return snapshot.parent.parent
    return real
