"""Encode previews of an unfinished picture, small enough to travel inside an event."""

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:  # a decoder process imports this package, and needs no numpy
    import numpy as np
    from numpy.typing import NDArray

MAX_SIDE_PX = 256  # a preview is looked at for a tenth of a second
QUALITY = 60
METHOD = 0  # fastest: made at many steps of every job


def preview_data_url(rgb: "NDArray[np.uint8]") -> str:
    """A data URL of a small WebP. rgb: [H, W, 3] uint8; longer sides than MAX_SIDE_PX are shrunk to it."""
    image = Image.fromarray(rgb, "RGB")
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.BILINEAR)
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=METHOD)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode('ascii')}"
