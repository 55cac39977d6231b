"""The drawn emoji as pictures on white."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

DRAWN_PX = 128
MARGIN_PX = 4  # of 128: keeps outlines off the edge, where the autoencoder is weakest
PICTURE_PX = 64
WHITE = 255.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One emoji in one style, with the words emojibase has for it."""

    style: str
    label: str
    tags: tuple[str, ...]


def drawings(work: Path) -> list[Drawing]:
    """What `draw.js` drew, in the order of its pixels."""
    rows = json.loads((work / "drawn.json").read_text())
    return [Drawing(style=row["style"], label=row["label"], tags=tuple(row["tags"])) for row in rows]


def pixels(work: Path) -> Pixels:
    """[n, 128, 128, 4] uint8, colours premultiplied by alpha; read from disk as needed."""
    return np.memmap(work / "drawn.bin", np.uint8, "r").reshape(-1, DRAWN_PX, DRAWN_PX, 4)


def on_white(drawn: Pixels) -> Pixels:
    """drawn: [128, 128, 4] premultiplied -> [128, 128, 3]."""
    alpha = drawn[..., 3:] / WHITE
    return np.clip(drawn[..., :3] + (1 - alpha) * WHITE + 0.5, 0, WHITE).astype(np.uint8)


def shrink(picture: Pixels) -> Pixels:
    """picture: [128, 128, 3] -> [64, 64, 3], with a white margin."""
    framed = np.pad(picture, ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0)), constant_values=int(WHITE))
    return np.asarray(Image.fromarray(framed).resize((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS))
