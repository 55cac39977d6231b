"""Statistics of single pictures. They tell a blurred, grey or noisy picture from another; they know nothing of beauty.

Every function takes pixels [H, W, 3] in 0..1.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float64]
_LUMA = np.array([0.299, 0.587, 0.114])


def read_pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("RGB"), np.float64) / 255


def sharpness(pixels: Pixels) -> float:
    """Variance of the Laplacian of the luminance (Pech-Pacheco et al. 2000), in squared levels of 255."""
    return float(_convolve(_luminance(pixels) * 255, ((0, 1, 0), (1, -4, 1), (0, 1, 0))).var())


def contrast(pixels: Pixels) -> float:
    """Standard deviation of the luminance, 0..0.5."""
    return float(_luminance(pixels).std())


def colourfulness(pixels: Pixels) -> float:
    """Hasler and Suesstrunk's measure (2003), in levels of 255."""
    red, green, blue = np.moveaxis(pixels * 255, -1, 0)
    one, other = red - green, (red + green) / 2 - blue
    return float(np.hypot(one.std(), other.std()) + 0.3 * np.hypot(one.mean(), other.mean()))


def noise(pixels: Pixels) -> float:
    """Standard deviation of the noise as Immerkaer estimates it (1996), in levels of 255; fine texture counts, too."""
    found = _convolve(_luminance(pixels) * 255, ((1, -2, 1), (-2, 4, -2), (1, -2, 1)))
    return float(np.sqrt(np.pi / 2) * np.abs(found).mean() / 6)


def entropy(pixels: Pixels) -> float:
    """Shannon entropy of the luminance in 256 levels, bits: 0 for one flat colour."""
    counts = np.bincount(np.rint(_luminance(pixels) * 255).astype(int).ravel(), minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum() + 0.0)


STATISTICS: Mapping[str, Callable[[Pixels], float]] = {
    "sharpness": sharpness,
    "contrast": contrast,
    "colourfulness": colourfulness,
    "noise": noise,
    "entropy": entropy,
}


def _luminance(pixels: Pixels) -> Pixels:
    return np.asarray(pixels @ _LUMA, np.float64)


def _convolve(plane: Pixels, kernel: tuple[tuple[int, int, int], ...]) -> Pixels:
    """The 3 x 3 correlation where the kernel lies inside; a zero where the plane is smaller than the kernel."""
    height, width = plane.shape[0] - 2, plane.shape[1] - 2
    if height < 1 or width < 1:
        return np.zeros((1, 1))
    out = np.zeros((height, width))
    for top, row in enumerate(kernel):
        for left, weight in enumerate(row):
            out += weight * plane[top : top + height, left : left + width]
    return out
