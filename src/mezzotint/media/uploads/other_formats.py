"""GIF, BMP, TIFF and AVIF: read by Pillow whole, with their metadata, since decoder processes are bounded anyway."""

from io import BytesIO

from PIL import AvifImagePlugin, Image

from mezzotint.media.uploads.undecodable import Undecodable

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a decoder process has one core's share
MARKS = {b"GIF87a": "GIF", b"GIF89a": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
AVIF_BRANDS = (b"avif", b"avis")
ORIENTATION, PHOTOMETRIC, WHITE_IS_ZERO = 0x0112, 262, 0
DEEP = frozenset({"I;16", "I;16B", "I;16L"})


def find_kind(data: bytes) -> str | None:
    """Pillow's name of the format; None for any other."""
    if data[4:8] == b"ftyp" and any(brand in data[8:64] for brand in AVIF_BRANDS):
        return "AVIF"
    return next((kind for mark, kind in MARKS.items() if data.startswith(mark)), None)


def read_head(data: bytes, kind: str) -> tuple[int, int, int]:
    """Width, height and EXIF orientation, before any pixel is decoded. Raises: Undecodable."""
    try:
        with Image.open(BytesIO(data), formats=[kind]) as picture:
            is_inverted = getattr(picture, "tag_v2", {}).get(PHOTOMETRIC, 1) == WHITE_IS_ZERO
            if kind == "TIFF" and picture.mode in DEEP and is_inverted:
                raise Undecodable("It is 16-bit grey that counts white as 0; save it with black as 0.")
            orientation = picture.getexif().get(ORIENTATION, 1) if kind == "AVIF" else 1  # Pillow turns a TIFF itself
            return *picture.size, orientation if orientation in range(1, 9) else 1
    except (Undecodable, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise half a dozen kinds
        hint = "save it as PNG, with 8 bits a channel"
        raise Undecodable(f"The {kind} is damaged, or of a kind that is not read; {hint}.") from error
