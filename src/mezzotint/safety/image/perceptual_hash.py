"""Recognise near copies of a picture: the perceptual hash PDQ (256 bits) and an index over known hashes.

The steps are those of "PDQ & TMK + PDQF", Facebook 2019: luma, two box filters, 64 x 64 samples, the 16 x 16 lowest
frequencies of a cosine transform without the constant ones, one bit for each above the median. The hashes agree with
the reference implementation's, so that lists which others publish can be used.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mezzotint.domain.ids import Sha256

MAX_DISTANCE = 31
"""Bits of 256 in which a near copy differs at most: the bound that PDQ's authors recommend. Two unrelated hashes differ
in 128 bits on average."""
MIN_QUALITY = 50
"""PDQ's authors compare no hash of a picture with less detail: flat pictures resemble each other."""
NUM_BITS = 256
NUM_BYTES = 32
MAX_SIDE_PX = 512  # larger pictures are shrunk first: the hash sees 64 x 64 samples
_SAMPLES, _FREQUENCIES = 64, 16
_NUM_TURNS = 8
_TURN_ERROR = 24
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHash:
    """pixels: exact, of the size and RGB pixels, whatever the file. pdq: 64 hexadecimal digits. quality: 0..100, how
    much detail the picture has; below MIN_QUALITY near copies are not looked for."""

    pixels: Sha256
    pdq: str
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFeatures:
    """The measurements that both a hash and a search are made of. spectrum: [16, 16], see `_transform`."""

    pixels: Sha256
    spectrum: NDArray[np.float32]
    quality: int

    @property
    def hash(self) -> PictureHash:
        return PictureHash(pixels=self.pixels, pdq=_write_bits(self.spectrum).hex(), quality=self.quality)


@dataclass(frozen=True, slots=True, kw_only=True)
class HashMatch:
    """name: as it was given to the index. distance: bits in which the hashes differ; 0 of an exact copy."""

    name: str
    distance: int


def hash_picture(image: Image.Image) -> PictureHash:
    """Hash a picture of any size and mode."""
    return measure_picture(image).hash


def measure_picture(image: Image.Image) -> PictureFeatures:
    """Compute what `HashIndex.find_features` and `PictureFeatures.hash` share, once for both."""
    rgb = image.convert("RGB")
    samples = _sample_luma(rgb)
    pixels = Sha256(sha256(f"{rgb.width}x{rgb.height}\n".encode() + rgb.tobytes()).hexdigest())
    # the clear steps between neighbours, as PDQ counts them
    steps = sum(np.trunc(np.abs(np.diff(samples, axis=axis)) * 100 / 255).sum() for axis in (0, 1))
    return PictureFeatures(pixels=pixels, spectrum=_transform(samples), quality=min(int(steps) // 90, 100))


def may_be_near(pdq: str, known: Iterable[str]) -> bool:
    """Tell whether a picture may be a near copy of a known one, turned or mirrored, by the hashes alone.

    A hash does not say exactly which hash the turned picture has (a bit whose frequency is next to the median may
    differ), so this bound is wider than MAX_DISTANCE: the pixels decide where it holds.
    """
    turned = _read_words([_turn_bits(_read_hex(pdq), turn) for turn in range(_NUM_TURNS)])
    words = _read_words([_read_hex(one) for one in known])
    return bool(len(words)) and any(
        int(np.bitwise_count(words ^ one).sum(axis=1).min()) <= MAX_DISTANCE + _TURN_ERROR for one in turned
    )


class HashIndex:
    """Known hashes, searched for near copies in every rotation and mirror image. It never changes: make another.

    A search compares with all of them, which is exact: 40 ms of one core for 100,000 (measured).
    """

    def __init__(self, known: Iterable[tuple[str, PictureHash]] = ()) -> None:
        """known: hashes with a name for each. Raises: ValueError, where a PDQ hash is none."""
        self._exact: dict[Sha256, str] = {}
        self._names: list[str] = []
        near: list[bytes] = []
        for name, picture in known:
            self._exact[picture.pixels] = name
            if picture.quality >= MIN_QUALITY:
                near.append(_read_hex(picture.pdq))
                self._names.append(name)
        self._words = _read_words(near)

    def __len__(self) -> int:
        return len(self._exact)

    def find(self, image: Image.Image, max_distance: int = MAX_DISTANCE) -> HashMatch | None:
        """Return the nearest known picture within the bound."""
        return self.find_features(measure_picture(image), max_distance) if len(self) else None

    def find_features(self, picture: PictureFeatures, max_distance: int = MAX_DISTANCE) -> HashMatch | None:
        """`find`, of a picture that was measured."""
        if name := self._exact.get(picture.pixels):
            return HashMatch(name=name, distance=0)
        if not self._names or picture.quality < MIN_QUALITY:
            return None
        turned = _read_words([_write_bits(turn) for turn in _list_turns(picture.spectrum)])
        distances = np.stack([np.bitwise_count(self._words ^ words).sum(axis=1) for words in turned]).min(axis=0)
        at = int(distances.argmin())
        distance = int(distances[at])
        return HashMatch(name=self._names[at], distance=distance) if distance <= max_distance else None


def count_different_bits(one: str, other: str) -> int:
    """The Hamming distance of two hashes in hexadecimal digits."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _sample_luma(rgb: Image.Image) -> NDArray[np.float32]:
    """Return [64, 64] samples of the blurred luma, 0..255."""
    if max(rgb.size) > MAX_SIDE_PX:
        rgb = rgb.resize((min(rgb.width, MAX_SIDE_PX), min(rgb.height, MAX_SIDE_PX)), Image.Resampling.BOX)
    luma = np.asarray(rgb, dtype=np.float32) @ _LUMA
    if luma.shape == (_SAMPLES, _SAMPLES):
        return luma
    for _ in range(2):
        luma = _blur_rows(_blur_rows(luma).T).T
    rows, columns = (((np.arange(_SAMPLES) + 0.5) * length / _SAMPLES).astype(np.intp) for length in luma.shape)
    return luma[np.ix_(rows, columns)]


def _blur_rows(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average each row over a window of a 128th of its length, cut at the edges."""
    length = luma.shape[1]
    window = -(-length // (2 * _SAMPLES))
    ahead = (window + 2) // 2
    sums = np.zeros((luma.shape[0], length + 1), dtype=np.float64)
    np.cumsum(luma, axis=1, out=sums[:, 1:])
    ends = np.minimum(np.arange(length) + ahead, length)
    starts = np.maximum(np.arange(length) + ahead - window, 0)
    means: NDArray[np.float32] = ((sums[:, ends] - sums[:, starts]) / (ends - starts)).astype(np.float32)
    return means


def _transform(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the [16, 16] lowest frequencies without the constant ones."""
    matrix = _make_cosines()
    spectrum: NDArray[np.float32] = np.asarray(matrix @ samples @ matrix.T, dtype=np.float32)
    return spectrum


@lru_cache(maxsize=1)
def _make_cosines() -> NDArray[np.float32]:
    frequencies, at = np.arange(1, _FREQUENCIES + 1)[:, None], np.arange(_SAMPLES)[None, :]
    scale = np.sqrt(2.0 / _SAMPLES)
    return np.asarray(scale * np.cos(np.pi / (2 * _SAMPLES) * frequencies * (2 * at + 1)), dtype=np.float32)


def _list_turns(spectrum: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """List the spectra of the picture's four rotations and their mirror images: a mirror negates odd frequencies."""
    signs = np.where(np.arange(_FREQUENCIES) % 2 == 0, -1.0, 1.0).astype(np.float32)
    plain = (spectrum, spectrum * signs, spectrum * signs[:, None], spectrum * signs * signs[:, None])
    return [turn for one in plain for turn in (one, one.T)]


def _turn_bits(pdq: bytes, turn: int) -> bytes:
    """The hash that a turned picture has, nearly: where a mirror negates a frequency, its bit is the other one."""
    bits = np.unpackbits(np.frombuffer(pdq, dtype=np.uint8))[::-1].reshape(_FREQUENCIES, _FREQUENCIES)
    values = bits.astype(np.float32) * 2 - 1
    return np.packbits(_list_turns(values)[turn].ravel()[::-1] > 0).tobytes()


def _write_bits(spectrum: NDArray[np.float32]) -> bytes:
    values = spectrum.ravel()
    median = np.partition(values, values.size // 2 - 1)[values.size // 2 - 1]
    return np.packbits((values > median)[::-1]).tobytes()


def _read_hex(pdq: str) -> bytes:
    data = bytes.fromhex(pdq)
    if len(data) != NUM_BYTES:
        raise ValueError(f"a PDQ hash has {2 * NUM_BYTES} hexadecimal digits, not {len(pdq)}")
    return data


def _read_words(hashes: list[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(hashes), dtype=np.uint64).reshape(-1, NUM_BYTES // 8)
