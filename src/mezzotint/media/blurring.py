"""Blur a picture so that its content cannot be recovered."""

from PIL import Image

CELLS = 12
"""Averages along the longer side. Nothing else of the picture is left in the result, whatever its size: 12 x 12 colours
show no face, body or text."""


def blur_picture(image: Image.Image) -> Image.Image:
    """Return an RGB picture of the same size, drawn from the averages of at most CELLS x CELLS parts alone."""
    scale = CELLS / max(image.size)
    cells = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(cells, Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)
