import numpy as np
import pytest
from PIL import Image, ImageFilter

from mezzotint.evals.pictures.no_reference import STATISTICS, noise, read_pixels

FLAT = np.full((32, 32, 3), 0.5)
SQUARES = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((4, 4)))[..., None].repeat(3, axis=2)


def measure(name: str, pixels: np.ndarray) -> float:
    return STATISTICS[name](pixels)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_flat_picture_has_none_of_it(name: str) -> None:
    assert measure(name, FLAT) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_picture_of_one_pixel_has_a_number(name: str) -> None:
    assert np.isfinite(measure(name, FLAT[:1, :1]))


def test_blur_lowers_sharpness_and_contrast() -> None:
    sharp = Image.fromarray((SQUARES * 255).astype(np.uint8))
    blurred = read_pixels(sharp.filter(ImageFilter.GaussianBlur(2)))
    for name in ("sharpness", "contrast"):
        assert measure(name, blurred) < 0.5 * measure(name, read_pixels(sharp))


def test_grey_is_without_colour_and_red_beside_green_is_not() -> None:
    colours = np.zeros((32, 32, 3))
    colours[:, :16, 0] = colours[:, 16:, 1] = 1
    assert measure("colourfulness", SQUARES) == pytest.approx(0, abs=1e-9)
    assert measure("colourfulness", colours) > 100


def test_the_noise_that_was_added_is_estimated() -> None:
    pixels = np.clip(FLAT + np.random.default_rng(0).normal(0, 5 / 255, (200, 200, 1)).repeat(3, axis=2).mean(), 0, 1)
    grain = np.random.default_rng(0).normal(0, 5 / 255, (200, 200, 1))
    assert noise(np.clip(0.5 + grain.repeat(3, axis=2), 0, 1)) == pytest.approx(5, rel=0.05)
    assert noise(pixels) < 0.5
