"""Convert a stored picture to the format of a request."""

from io import BytesIO
from typing import Literal

from PIL import Image

Format = Literal["png", "webp", "jpeg"]


def convert_picture(data: bytes, to: Format, quality: int = 100, size: tuple[int, int] | None = None) -> bytes:
    """The picture in another format. quality: 0..100, of WebP and JPEG; 100 is lossless for WebP. size: px; None: its
    own."""
    with Image.open(BytesIO(data), formats=("PNG", "WEBP")) as picture:
        pixels = picture.convert("RGB")
    if size is not None:
        pixels = pixels.resize(size, Image.Resampling.LANCZOS)
    buffer = BytesIO()
    if to == "png":
        pixels.save(buffer, "PNG")
    elif to == "webp":
        pixels.save(buffer, "WEBP", quality=quality, lossless=quality == 100)
    else:
        pixels.save(buffer, "JPEG", quality=min(quality, 95), subsampling=0)  # above 95 only the size grows
    return buffer.getvalue()
