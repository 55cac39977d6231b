"""Pixels of a picture from outside. It runs in a process of its own (`decoder_process.py`)."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

from PIL import Image, ImageOps

from mezzotint.media.encoding import encode_png
from mezzotint.media.transparency import lay_on_white, read_mask
from mezzotint.media.uploads.container import Contents, read_contents
from mezzotint.media.uploads.cut_off import check_rows
from mezzotint.media.uploads.pixels import read_eight_bits, scale_transparent_colour
from mezzotint.media.uploads.undecodable import Undecodable

OPAQUE = 128  # of an alpha channel; less counts as transparent
SMALL_PX = 1024 * 1024
"""Up to here the PNG is compressed well; of an 8 MB photograph that took ten times as long as reading it."""
VIEW_PX = 640  # longer sides are shrunk to it for the image filter, which needs no more to see faces and text
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF's orientation."""


class Reading(StrEnum):
    """The meaning of the pixels of an upload. Other masks than these two come as pictures, which `read_mask` reads."""

    PICTURE = "picture"
    TRANSPARENT_MASK = "transparent_mask"
    INVERTED_MASK = "inverted_mask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """png: RGB, or RGBA where some of it is transparent, of `width` x `height` px, without metadata. view: RGB bytes of
    the picture for the image filter, of `view_size`."""

    width: int
    height: int
    png: bytes
    view: bytes

    @property
    def view_size(self) -> tuple[int, int]:
        return fit_view(self.width, self.height)


def fit_view(width: int, height: int) -> tuple[int, int]:
    """Return the size of the view: as it is, or shrunk so that no side is longer than VIEW_PX."""
    scale = min(1.0, VIEW_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def decode(data: bytes, reading: Reading) -> Decoded:
    """The first frame, upright. Its size is read from the header before any pixel is decoded. Raises: Undecodable."""
    picture = read_pixels(data, reading)
    level = 6 if picture.width * picture.height <= SMALL_PX else 1
    view = lay_on_white(picture).resize(fit_view(*picture.size), Image.Resampling.BILINEAR)
    return Decoded(
        width=picture.width,
        height=picture.height,
        png=encode_png(picture, level),
        view=view.tobytes(),
    )


def read_pixels(data: bytes, reading: Reading = Reading.PICTURE) -> Image.Image:
    """RGB pixels, or RGBA where some of them are transparent. Raises: Undecodable."""
    contents = read_contents(data)
    try:
        return READERS[reading](read_eight_bits(_load(contents)))
    except (Undecodable, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise half a dozen kinds for damaged files
        raise Undecodable("The picture is damaged or cut off.") from error


def _load(contents: Contents) -> Image.Image:
    with Image.open(BytesIO(contents.data), formats=[contents.kind]) as picture:
        if picture.size != (contents.width, contents.height):
            raise Undecodable("The picture is damaged: its parts have different sizes.")
        picture.load()
        if contents.may_lack_rows:
            check_rows(contents.data, picture)
        if contents.kind == "PNG":
            scale_transparent_colour(picture, contents.data)
        turn = TURNS.get(contents.orientation)
        return picture if turn is None else picture.transpose(turn)


def _read_transparent_mask(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        raise Undecodable("It has no transparency, which is where a mask lets draw.")
    mask = picture.getchannel("A").point(lambda level: 0 if level >= OPAQUE else 255)
    if mask.getbbox() is None:
        raise Undecodable("No part of it is transparent, so that nothing would be drawn.")
    return mask.convert("RGB")


READERS: dict[Reading, Callable[[Image.Image], Image.Image]] = {
    Reading.PICTURE: lambda picture: picture,
    Reading.TRANSPARENT_MASK: _read_transparent_mask,
    Reading.INVERTED_MASK: lambda picture: ImageOps.invert(read_mask(picture)).convert("RGB"),
}
