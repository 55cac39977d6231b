"""Transparent parts of a picture from outside: what a source, a filter and a mask make of them."""

from PIL import Image


def lay_on_white(picture: Image.Image) -> Image.Image:
    """RGB pixels, as the image filter and the model see them. picture: RGB, RGBA or grey."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    white.alpha_composite(picture)
    return white.convert("RGB")


def read_mask(picture: Image.Image) -> Image.Image:
    """L, the lighter the more is redrawn. Of a picture with transparent parts what is opaque counts as white.

    Source: AUTOMATIC1111's `create_binary_mask`, which the editors of its clients draw for.
    """
    return picture.getchannel("A") if picture.mode == "RGBA" else picture.convert("L")
