"""Stored pictures in other formats."""

from io import BytesIO

import pytest
from PIL import Image, ImageChops

from mezzotint.media import Format, convert_picture, encode

PICTURE = Image.linear_gradient("L").convert("RGB").resize((48, 32))


@pytest.mark.parametrize("to", ["png", "webp"])
def test_lossless_formats_keep_every_pixel(to: Format) -> None:
    made = Image.open(BytesIO(convert_picture(encode(PICTURE).png, to)))
    assert made.format == to.upper()
    assert ImageChops.difference(made.convert("RGB"), PICTURE).getbbox() is None


@pytest.mark.parametrize("to", ["webp", "jpeg"])
def test_less_quality_is_fewer_bytes(to: Format) -> None:
    noise = Image.effect_noise((96, 96), 50).convert("RGB")
    data = encode(noise).png
    assert len(convert_picture(data, to, 10)) < len(convert_picture(data, to, 90)) < len(data)
