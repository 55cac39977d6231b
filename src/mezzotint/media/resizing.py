"""Bring an enlarged picture to the size that was asked for."""

from dataclasses import dataclass
from io import BytesIO
from struct import Struct

from PIL import Image

from mezzotint.media.encoding import encode_png

SIZE, SIZE_AT = Struct(">II"), 16
"""In the header of a PNG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """width, height: of the whole picture, px. scale: how many times as large it is. crop: width and height of what is
    cut out of its middle; None: all.
    """

    width: int
    height: int
    scale: float
    crop: tuple[int, int] | None = None

    @classmethod
    def by_scale(cls, png: bytes, scale: float) -> "Target":
        width, height = _read_size(png)
        return cls(width=max(1, round(width * scale)), height=max(1, round(height * scale)), scale=scale)

    @classmethod
    def to_size(cls, png: bytes, width: int, height: int, *, is_cropped: bool) -> "Target":
        """The smallest that covers the size, in the picture's own shape."""
        own_width, own_height = _read_size(png)
        scale = max(width / own_width, height / own_height)
        return cls(
            width=max(width, round(own_width * scale)),
            height=max(height, round(own_height * scale)),
            scale=scale,
            crop=(width, height) if is_cropped else None,
        )


def resize_png(png: bytes, target: Target) -> bytes:
    """png: of this server's own making."""
    size = _read_size(png)
    if size == (target.width, target.height) and target.crop in {None, size}:
        return png
    with Image.open(BytesIO(png), formats=["PNG"]) as picture:
        resized = picture.resize((target.width, target.height), Image.Resampling.LANCZOS)
    if target.crop is not None:
        width, height = target.crop
        left, top = (target.width - width) // 2, (target.height - height) // 2
        resized = resized.crop((left, top, left + width, top + height))
    return encode_png(resized)


def _read_size(png: bytes) -> tuple[int, int]:
    width, height = SIZE.unpack_from(png, SIZE_AT)
    return width, height
