"""Pictures from outside: decoded within bounds, bare of everything but their pixels."""

from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from mezzotint.domain.model import MAX_SIDE_PX

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_UPLOAD_BYTES = 12 * 2**20  # a camera's JPEG
MAX_UPLOAD_PX = 4096 * 4096  # 50 MB once decoded
MIN_SIDE_PX = 8
OPAQUE = 128  # of an alpha channel; less counts as transparent


class Undecodable(ValueError):
    """The bytes are not a picture that is taken; the message says why, for its sender."""


def decode_upload(data: bytes) -> Image.Image:
    """The first frame, upright, RGB on white. Its size is read from the header before any pixel is decoded.

    Raises: Undecodable.
    """
    return _on_white(_read(data))


def decode_transparent(data: bytes) -> Image.Image:
    """A mask: white where the picture is transparent. Raises: Undecodable, also when it has no such part."""
    picture = _read(data)
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        raise Undecodable("It has no transparency, which is where a mask lets draw.")
    alpha = picture.convert("RGBA").getchannel("A")
    mask = alpha.point(lambda level: 0 if level >= OPAQUE else 255)
    if mask.getbbox() is None:
        raise Undecodable("No part of it is transparent, so that nothing would be drawn.")
    return mask.convert("RGB")


def _read(data: bytes) -> Image.Image:
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            _check_size(*picture.size)
            picture.load()
            return ImageOps.exif_transpose(picture)
    except Image.DecompressionBombError as error:
        raise Undecodable(f"It has more than {MAX_UPLOAD_PX} px.") from error
    except UnidentifiedImageError as error:
        raise Undecodable("It is not a PNG, JPEG or WebP picture.") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, Undecodable):
            raise
        raise Undecodable("The picture is damaged or cut off.") from error  # what Pillow's readers raise for bad files


def decode_inverted(data: bytes) -> Image.Image:
    """A mask whose black is to be redrawn, as one whose white is. Raises: Undecodable."""
    return ImageOps.invert(decode_upload(data))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_UPLOAD_PX:
        raise Undecodable(f"It has {width} x {height} px; at most {MAX_UPLOAD_PX} are taken.")
    if max(width, height) > MAX_SIDE_PX:
        raise Undecodable(f"It has {width} x {height} px; each side may have at most {MAX_SIDE_PX}.")
    if min(width, height) < MIN_SIDE_PX:
        raise Undecodable(f"It has {width} x {height} px; each side must have at least {MIN_SIDE_PX}.")


def _on_white(picture: Image.Image) -> Image.Image:
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")
