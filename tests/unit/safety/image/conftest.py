"""One post-filter as it is built in, and pictures for it."""

import pytest
from PIL import Image, ImageDraw, ImageFilter

from mezzotint.safety.image.loading import load_postfilter
from mezzotint.safety.image.postfilter import PostFilter
from mezzotint.safety.policy_file import load_policy


@pytest.fixture(scope="session")
def postfilter() -> PostFilter:
    return load_postfilter(load_policy())


@pytest.fixture
def apple() -> Image.Image:
    return draw_apple(64)


def draw_apple(side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((side * 0.15, side * 0.25, side * 0.85, side * 0.95), fill=(215, 40, 50))
    draw.rectangle((side * 0.48, side * 0.08, side * 0.52, side * 0.3), fill=(90, 60, 30))
    return image


@pytest.fixture
def suspicious() -> Image.Image:
    """Soft ellipses in skin tones: nothing, and yet 0.66 to open_nsfw."""
    image = Image.new("RGB", (64, 64), (0, 30, 80))
    draw = ImageDraw.Draw(image)
    for x, y, width, height, tone in (
        *((43, 49, 22, 20, -5), (54, 30, 17, 11, -12), (35, 52, 11, 12, 4)),
        *((17, 37, 20, 20, 24), (33, 57, 23, 5, -12), (35, 55, 19, 21, 3)),
    ):
        box = (x - width, y - height, x + width, y + height)
        draw.ellipse(box, fill=(225 + tone, 170 + tone, 140 + tone))
    return image.filter(ImageFilter.GaussianBlur(2))
