"""The canvas of an edit: the source placed on the picture to be made, and its kept pixels restored afterwards.

The part outside the mask ends as the source's own pixels, not as the autoencoder's version of them.
"""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from mezzotint.domain.job import Parameters
from mezzotint.domain.task import Task

THRESHOLD = 128  # of a mask's grey: from here on it is white


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Canvas:
    """image: RGB, at the size of the result. mask: L, 0 or 255, None where everything is redrawn."""

    image: Image.Image
    mask: Image.Image | None

    def restore_unmasked(self, drawn: Image.Image) -> Image.Image:
        """`drawn`, with the source's pixels where the mask is black."""
        return drawn if self.mask is None else Image.composite(drawn.convert("RGB"), self.image, self.mask)


def place_source(parameters: Parameters, source: Image.Image, mask: Image.Image | None) -> Canvas:
    """Bring source and mask to where `parameters` wants them. Both are cropped alike where their shape is another."""
    size = (parameters.width, parameters.height)
    source = source.convert("RGB")
    if parameters.task is Task.OUTPAINT:
        return _extend(parameters, source)
    fitted = ImageOps.fit(source, size, Image.Resampling.LANCZOS) if source.size != size else source
    if mask is None:
        return Canvas(image=fitted, mask=None)
    grey = ImageOps.fit(mask.convert("L"), size, Image.Resampling.BOX) if mask.size != size else mask.convert("L")
    return Canvas(image=fitted, mask=grey.point(lambda level: 255 if level >= THRESHOLD else 0))


def read_picture(data: bytes) -> Image.Image:
    """The pixels of a stored PNG."""
    with Image.open(BytesIO(data), formats=["PNG"]) as picture:
        picture.load()
        return picture


def _extend(parameters: Parameters, source: Image.Image) -> Canvas:
    """The source on a larger canvas; outside of it its edge goes on, a quiet start for what is drawn there."""
    left, top = parameters.left or 0, parameters.top or 0
    inner = (parameters.source_width or source.width, parameters.source_height or source.height)
    fitted = ImageOps.fit(source, inner, Image.Resampling.LANCZOS) if source.size != inner else source
    right, bottom = parameters.width - left - inner[0], parameters.height - top - inner[1]
    pixels = np.pad(np.asarray(fitted), ((top, bottom), (left, right), (0, 0)), mode="edge")
    mask = Image.new("L", (parameters.width, parameters.height), 255)
    mask.paste(0, (left, top, left + inner[0], top + inner[1]))
    return Canvas(image=Image.fromarray(pixels), mask=mask)
