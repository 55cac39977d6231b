"""A blurred picture has nothing left of the original but a few averages."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mezzotint.media.blurring import CELLS, blur_picture


def draw_stripes(width: int, height: int, pitch: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for x in range(0, width, 2 * pitch):
        draw.rectangle((x, 0, x + pitch - 1, height), fill="black")
    return image


@pytest.mark.parametrize("size", [(64, 64), (1024, 1024), (2048, 512), (300, 1), (1, 1)])
def test_a_blurred_picture_keeps_its_size_whatever_that_is(size: tuple[int, int]) -> None:
    image = Image.effect_noise(size, 80)
    assert (blur_picture(image).size, blur_picture(image).mode) == (size, "RGB")


@pytest.mark.parametrize("side", [64, 512, 2048])
def test_details_are_gone_at_every_size(side: int) -> None:
    """Stripes a 64th of the side wide: the letters of a headline, the features of a face."""
    blurred = np.asarray(blur_picture(draw_stripes(side, side, side // 64)), dtype=float)
    assert np.ptp(blurred) < 110, "of 255: what is left are the waves between stripes and cells"
    assert np.asarray(draw_stripes(side, side, side // 64)).std() > 120


def test_pictures_with_the_same_averages_give_the_same_file() -> None:
    """So no method can tell which of them it was."""
    side = CELLS * 8
    one = draw_stripes(side, side, 2)
    assert blur_picture(one).tobytes() == blur_picture(one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).tobytes()
