"""The place of the mark: middle frequencies of a tile that repeats over the picture, at a size of its own.

A picture is looked at with a shorter side of SHORT_PX, whatever its size, so resizing moves nothing. Tiles are folded
onto each other, so a part of the picture shows the same tile, shifted; a shift is a turn of the phases.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.provenance.watermark.code import NUM_CODED

SHORT_PX = 256
TILE_PX = 64
LOW, HIGH = 4, 14
"""Cycles a tile, so 16 to 56 over the shorter side: lower ones are seen as clouds, higher ones do not outlive JPEG."""
SMOOTH_PX = 8
CALM = 4.0
"""Levels of 0..255 that are added to the local contrast, so that flat areas are not blown up into noise."""

Plane = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

_cycles = np.fft.fftfreq(TILE_PX, 1 / TILE_PX)
ROWS, COLUMNS = np.meshgrid(_cycles, _cycles, indexing="ij")
_radius = np.hypot(ROWS, COLUMNS)
_half = (COLUMNS > 0) | ((COLUMNS == 0) & (ROWS > 0))  # the other half is the same, conjugated
PLACES = np.argwhere(_half & (_radius >= LOW) & (_radius <= HIGH))


@dataclass(frozen=True, slots=True)
class MarkLayout:
    """The pattern of a key. sync, data: places [n, 2] in the tile's spectrum. sync_signs: complex, +-1 +-1j each.
    scramble: +-1 for the real and the imaginary part of each data place, in turn."""

    sync: NDArray[np.int64]
    data: NDArray[np.int64]
    sync_signs: Spectrum
    scramble: NDArray[np.int64]

    def write(self, coded: NDArray[np.int64]) -> Spectrum:
        """The signs that the tile's spectrum is to have: +-1 +-1j at places of this layout, 0 elsewhere."""
        target = np.zeros((TILE_PX, TILE_PX), complex)
        target[tuple(self.sync.T)] = self.sync_signs
        signs = (2 * np.resize(coded, len(self.scramble)) - 1) * self.scramble
        target[tuple(self.data.T)] = signs[0::2] + 1j * signs[1::2]
        return target

    def find_shift(self, spectrum: Spectrum) -> tuple[float, tuple[int, int]]:
        """Measure how surely the key's pattern is there, in standard deviations of noise, and its shift in px."""
        found = np.zeros_like(spectrum)
        at = tuple(self.sync.T)
        found[at] = spectrum[at] / (np.abs(spectrum[at]) + 1e-12) * self.sync_signs.conj()
        surface = np.fft.ifft2(found).real * TILE_PX**2
        row, column = np.unravel_index(int(surface.argmax()), surface.shape)
        return float(surface[row, column]) / len(self.sync) ** 0.5, (int(row), int(column))

    def read(self, spectrum: Spectrum, shift: tuple[int, int]) -> NDArray[np.float64]:
        """Soft values of the coded bits. Large coefficients, the picture's own, count little more."""
        turned = spectrum * np.exp(2j * np.pi * (ROWS * shift[0] + COLUMNS * shift[1]) / TILE_PX)
        values = turned[tuple(self.data.T)]
        values = values / (np.abs(values) + np.median(np.abs(values)) + 1e-12)
        parts = np.stack([values.real, values.imag], axis=1).reshape(-1) * self.scramble
        return np.asarray(np.bincount(np.arange(len(parts)) % NUM_CODED, parts, NUM_CODED), np.float64)


@lru_cache(maxsize=8)
def make_layout(key: bytes) -> MarkLayout:
    random = np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(b"layout" + key).digest(), "big")))
    order = random.permutation(len(PLACES))
    num_sync = len(PLACES) // 3
    sync, data = PLACES[order[:num_sync]], PLACES[order[num_sync:]]
    signs = random.choice([-1, 1], (num_sync, 2))
    return MarkLayout(sync, data, signs[:, 0] + 1j * signs[:, 1], random.choice([-1, 1], 2 * len(data)))


def view(luma: Image.Image, scale: float) -> Plane:
    """Luma at another size. luma: mode F or L."""
    size = (max(round(luma.width * scale), 1), max(round(luma.height * scale), 1))
    return np.asarray(luma.convert("F").resize(size, Image.Resampling.LANCZOS), np.float64)


def measure(plane: Plane) -> Spectrum:
    """The spectrum of the folded tile, [TILE_PX, TILE_PX]; local brightness and contrast are taken out first."""
    detail = plane - smooth(plane, SMOOTH_PX)
    contrast = np.sqrt(smooth(detail * detail, SMOOTH_PX))
    return np.fft.fft2(_fold(detail / (contrast + CALM))) / (TILE_PX**2 / 2)


def spread(spectrum: Spectrum, shape: tuple[int, int]) -> Plane:
    """The tile of a half spectrum, repeated over a plane: the inverse of folding."""
    whole = spectrum.copy()
    rows, columns = PLACES.T
    whole[-rows % TILE_PX, -columns % TILE_PX] += spectrum[rows, columns].conj()
    tile = np.fft.ifft2(whole).real * (TILE_PX**2 / 2)
    repeats = (-(-shape[0] // TILE_PX), -(-shape[1] // TILE_PX))
    return np.asarray(np.tile(tile, repeats)[: shape[0], : shape[1]], np.float64)


def smooth(plane: Plane, radius: int) -> Plane:
    """The mean of the square of 2 * radius + 1 px around each px; never below the least value."""
    size = 2 * radius + 1
    sums = np.pad(plane, ((radius + 1, radius), (radius + 1, radius)), mode="edge").cumsum(0).cumsum(1)
    means = (sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]) / size**2
    return np.asarray(np.maximum(means, plane.min()), np.float64)  # sums of large numbers leave a rest below 0


def _fold(plane: Plane) -> Plane:
    height, width = plane.shape
    pad = ((0, -height % TILE_PX), (0, -width % TILE_PX))

    def add(values: Plane) -> Plane:
        values = np.pad(values, pad)
        tiles = values.reshape(values.shape[0] // TILE_PX, TILE_PX, values.shape[1] // TILE_PX, TILE_PX)
        return np.asarray(tiles.sum((0, 2)), np.float64)

    return add(plane) / np.maximum(add(np.ones_like(plane)), 1)
