"""Measure whether pictures of fixed prompts and seeds became others than those of the accepted run."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.evals.pictures.drawn import DrawnPicture
from mezzotint.evals.pictures.no_reference import STATISTICS, read_pixels
from mezzotint.evals.result import EvalResult, Figure, Suite, Table, now
from mezzotint.evals.statistics import bootstrap_interval

THUMBNAIL_PX = 16
CHANGED_FROM = 0.05
"""Root mean square difference of two thumbnails, in shares of full scale, from which a picture counts as changed."""


def measure_regression(
    pictures: Sequence[DrawnPicture], accepted: EvalResult | None, *, inputs: Mapping[str, str]
) -> EvalResult:
    """Statistics of the pictures, and their distance from the accepted ones, which are kept as thumbnails."""
    figures = measure_statistics(pictures)
    before = {name: _decode(thumbnail) for name, thumbnail in accepted.thumbnails.items()} if accepted else {}
    distances = {}
    for picture in pictures:
        if picture.id in before:
            difference = _decode(encode_thumbnail(picture.picture)) - before[picture.id]
            distances[picture.id] = float(np.sqrt((difference**2).mean()))
    notes = []
    if distances:
        found = list(distances.values())
        figures["distance"] = Figure.of(float(np.mean(found)), bootstrap_interval(np.mean, found), num=len(found))
        figures["changed"] = Figure.share(sum(one >= CHANGED_FROM for one in found), len(found))
    else:
        notes.append("no accepted run has these pictures: their distance is not measured")
    rows = tuple((picture.id, Figure(value=distances[picture.id])) for picture in pictures if picture.id in distances)
    table = Table(title="Distance from the accepted picture", head=("picture", "distance"), rows=rows)
    return EvalResult(
        suite=Suite.REGRESSION,
        created_at=now(),
        inputs=inputs,
        figures=figures,
        tables=(table,) if rows else (),
        notes=tuple(notes),
        thumbnails={picture.id: encode_thumbnail(picture.picture) for picture in pictures},
    )


def measure_statistics(pictures: Sequence[DrawnPicture]) -> dict[str, Figure]:
    """The mean of each statistic over the pictures, with its interval."""
    pixels = [read_pixels(picture.picture) for picture in pictures]
    figures = {}
    for name, statistic in STATISTICS.items():
        found = [statistic(one) for one in pixels]
        figures[name] = Figure.of(float(np.mean(found)), bootstrap_interval(np.mean, found), num=len(found))
    return figures


def encode_thumbnail(picture: Image.Image) -> str:
    """The picture at 16 x 16 px, as base64 of its bytes."""
    small = picture.convert("RGB").resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    return base64.b64encode(small.tobytes()).decode("ascii")


def _decode(thumbnail: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(thumbnail), np.uint8).astype(np.float64) / 255
