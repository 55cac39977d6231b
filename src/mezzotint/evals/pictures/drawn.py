"""Pictures with their prompts: drawn for an evaluation, or read from files."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mezzotint.domain.errors import ArgumentInvalid


class PicturesInvalid(ArgumentInvalid):
    """A CSV file of pictures cannot be used."""

    hint = "It needs a header with `file` and `prompt`, files beside it, and for a calibration `label` (1 or 0)."


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPicture:
    """score: what people said of it, where the file of pictures tells: a label 0 or 1, or a grade."""

    id: str
    prompt: str
    picture: Image.Image
    score: float | None = None


def read_picture_prompts(limit: int | None = None) -> tuple[str, ...]:
    """The fixed prompts of the package; the seed of each is its place, counted from 1."""
    path = files("mezzotint.evals").joinpath("golden", "picture_prompts.txt")
    return tuple(path.read_text(encoding="utf-8").split("\n"))[:-1][:limit]


def read_pictures(path: Path, score: str | None = None, limit: int | None = None) -> tuple[DrawnPicture, ...]:
    """The pictures that a CSV file lists. score: the column of what people said, a number in every row.

    Raises: PicturesInvalid, naming the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            wanted = {"file", "prompt", *([score] if score else [])}
            if missing := wanted - set(reader.fieldnames or ()):
                raise PicturesInvalid(f"{path}: the header lacks {', '.join(sorted(missing))}")
            found = tuple(_read_rows(path, reader, score, limit))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PicturesInvalid(f"{path} cannot be read: {error}") from error
    if not found:
        raise PicturesInvalid(f"{path} lists no picture")
    return found


def _read_rows(
    path: Path, reader: "csv.DictReader[str]", score: str | None, limit: int | None
) -> Iterator[DrawnPicture]:
    for number, row in enumerate(reader):
        if limit is not None and number >= limit:
            return
        file = path.parent / (row["file"] or "")
        try:
            with Image.open(file) as opened:
                picture = opened.convert("RGB")
            value = float(row[score] or "") if score else None
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
            raise PicturesInvalid(f"{path}, line {reader.line_num}: {error}") from error
        yield DrawnPicture(id=row["file"], prompt=row["prompt"] or "", picture=picture, score=value)
