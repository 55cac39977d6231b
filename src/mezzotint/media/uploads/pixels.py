"""Pixels of every mode as viewers show them, in 8 bits a channel."""

from PIL import Image

from mezzotint.media.uploads.undecodable import Undecodable

PNG_DEPTH, PNG_COLOUR = 24, 25
"""Bytes of a PNG in which its header tells bits of a sample, and its kind of colour."""
GREY_OF_16_BITS = frozenset({"I;16", "I;16B", "I;16L"})
SHOWN = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"})
NUM_LEVELS = 65_536
TO_EIGHT_BITS = [(level + 128) // 257 for level in range(NUM_LEVELS)]
OPAQUE = 255


def read_eight_bits(picture: Image.Image) -> Image.Image:
    """RGBA where some of the picture is transparent, else RGB. Raises: Undecodable."""
    if picture.mode in GREY_OF_16_BITS:
        return _read_deep_grey(picture)
    if picture.mode not in SHOWN:
        raise Undecodable(f"Its pixels ({picture.mode}) have no agreed look; save it with 8 bits a channel, as RGB.")
    if "A" not in picture.mode.upper() and "transparency" not in picture.info:
        return picture.convert("RGB")
    return _without_needless_alpha(picture.convert("RGBA"))


def scale_transparent_colour(picture: Image.Image, png: bytes) -> None:
    """Bring the transparent colour of a PNG, which is told in the file's own bits, to those of Pillow's pixels."""
    colour, depth = picture.info.get("transparency"), png[PNG_DEPTH]
    if picture.mode in {"1", "L"} and isinstance(colour, int) and depth < 8:
        picture.info["transparency"] = colour * 255 // (2**depth - 1)
    elif picture.mode == "RGB" and isinstance(colour, tuple) and depth == 16:
        picture.info["transparency"] = tuple(level >> 8 for level in colour)


def _read_deep_grey(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits scaled down; Pillow's own conversion would cut it off at 255, which makes it white."""
    levels = picture.convert("I")
    grey = levels.point(TO_EIGHT_BITS, "L")
    colour = picture.info.get("transparency")
    if not isinstance(colour, int):
        return grey.convert("RGB")
    alpha = levels.point([0 if level == colour else OPAQUE for level in range(NUM_LEVELS)], "L")
    return _without_needless_alpha(Image.merge("RGBA", (grey, grey, grey, alpha)))


def _without_needless_alpha(picture: Image.Image) -> Image.Image:
    lightest = picture.getchannel("A").getextrema()[0]
    return picture.convert("RGB") if lightest == OPAQUE else picture
