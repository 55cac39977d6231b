"""A picture as the files that are delivered.

The same pixels give the same bytes under the same Pillow: nothing of the time, the machine or the source image's own
metadata is written. (The signature that follows is each job's own.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

LOSSLESS_PX = 256 * 256  # up to this area lossless WebP costs little, and flat art shows every artefact when enlarged
QUALITY = 90  # of lossy WebP: no artefact is seen at arm's length
LEVEL = 6  # zlib's effort for PNG, its own default
METHOD = 4  # libwebp's effort 0..6; 6 takes about twice as long for 1-2 % fewer bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The same picture in two formats. PNG is exact; WebP is exact up to LOSSLESS_PX."""

    png: bytes
    webp: bytes


def encode(image: Image.Image, *, metadata: Mapping[str, str] | None = None) -> Encoded:
    """Encode a picture. Other modes than RGB are converted to it, without their alpha.

    metadata: text chunks of the PNG, by keyword (1-79 Latin-1 characters). None by default: a prompt is private, and a
    picture's address is public.
    """
    pixels = _strip_metadata(image)
    return Encoded(png=_encode_png_bytes(pixels, metadata or {}), webp=_encode_webp_bytes(pixels))


def encode_png(image: Image.Image, level: int = LEVEL) -> bytes:
    """The exact pixels alone, of an RGBA picture with its alpha. level: zlib's effort, 1..9."""
    return _encode_png_bytes(_strip_metadata(image, "RGBA" if image.mode == "RGBA" else "RGB"), {}, level)


def _strip_metadata(image: Image.Image, mode: str = "RGB") -> Image.Image:
    """The pixels without profile, EXIF and comments, which Pillow would carry over into the file."""
    pixels = image.convert(mode)
    return Image.frombytes(mode, pixels.size, pixels.tobytes())


def _encode_png_bytes(pixels: Image.Image, metadata: Mapping[str, str], level: int = LEVEL) -> bytes:
    chunks = PngInfo()
    for keyword, text in sorted(metadata.items()):
        chunks.add_itxt(keyword, text)
    buffer = BytesIO()
    pixels.save(buffer, "PNG", pnginfo=chunks, compress_level=level)
    return buffer.getvalue()


def _encode_webp_bytes(pixels: Image.Image) -> bytes:
    buffer = BytesIO()
    is_lossless = pixels.width * pixels.height <= LOSSLESS_PX
    pixels.save(buffer, "WEBP", lossless=is_lossless, quality=QUALITY, method=METHOD)
    return buffer.getvalue()
