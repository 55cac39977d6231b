"""Hash a model's weights into one number, so that a manifest names the very model that drew."""

import hashlib
from collections.abc import MutableMapping, Sequence
from pathlib import Path

SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf"})


def hash_weights(place: Path, known: MutableMapping[str, str]) -> str:
    """SHA-256 of a weights file, or of the lines `<sha256>  <path>` of those in a folder, sorted by path.

    It reads every byte: 1 to 3 s a gigabyte. known: findings of earlier calls; a file counts as the same while its
    path, size and time are. Raises: OSError.
    """
    files = [place] if place.is_file() else sorted(one for one in place.rglob("*") if one.suffix in SUFFIXES)
    stats = [(one, one.stat()) for one in files]
    state = "\n".join([str(place), *(f"{one} {stat.st_size} {stat.st_mtime_ns}" for one, stat in stats)])
    key = hashlib.sha256(state.encode()).hexdigest()
    found = known.get(key)
    if found is None:
        found = _hash(place, files)
        known[key] = found
    return found


def hash_parts(places: Sequence[Path], known: MutableMapping[str, str]) -> str:
    """The hash of a model's weights; with an autoencoder in place of its own, SHA-256 of the lines `<hash>` of both.

    places: its weights, then the autoencoder's. known: see `hash_weights`. Raises: OSError.
    """
    hashes = [hash_weights(place, known) for place in places]
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(f"{one}\n" for one in hashes).encode()).hexdigest()


def _hash(place: Path, files: list[Path]) -> str:
    sums = []
    for path in files:
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    if files == [place]:
        return sums[0]
    lines = [f"{digest}  {path.relative_to(place).as_posix()}\n" for digest, path in zip(sums, files, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
