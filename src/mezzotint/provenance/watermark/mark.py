"""Writes the mark into a picture and finds it again: keyed spread spectrum with knowledge of the picture.

Source: Malvar and Florencio, "Improved spread spectrum" (2003): the writer knows what of the picture itself lies in
the place of the mark, and adds only what is missing. A mark is no proof: whoever has the key can write any, and who has
the picture can wash it out.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from mezzotint.provenance.manifest import MIN_MARKED_PX
from mezzotint.provenance.watermark.code import decode_payload, encode_payload
from mezzotint.provenance.watermark.spectrum import (
    SHORT_PX,
    TILE_PX,
    MarkLayout,
    Plane,
    Spectrum,
    make_layout,
    measure,
    smooth,
    spread,
    view,
)

MIN_SIDE_PX = MIN_MARKED_PX
"""Smaller pictures are not marked: what holds 32 bits in so few pixels is seen."""
STRENGTHS = (1.8, 2.4, 3.2)
"""Root mean square of the change, levels of 0..255; the first that is found again after TRIAL_QUALITY is taken."""
TRIAL_QUALITY = 50
SURE = 8.0
WANTED = 0.02
"""Amplitude that each place of the folded, evened spectrum is to have."""
GAIN = 8.0
NUM_ROUNDS = 8
SEEN = 5.5
"""Standard deviations from which a pattern is looked into. Noise reaches 5 in the 1.5 million shifts of a search."""
PART = 0.0037
"""Relative step of the sizes that are tried for a part of a picture: a quarter of a cycle over its tiles."""
NUM_PARTS = 190
"""So parts of half the shorter side and more are found."""
MAX_ASPECT = 16
"""Longer pictures are not searched: with a shorter side of SHORT_PX a strip of three rows has 20 million px."""
NUM_BEST = 3
"""Number of looks that are decoded, of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A mark that was found. part: share of the whole picture's shorter side that is there."""

    payload: int
    sureness: float
    part: float
    is_mirrored: bool


class Look(NamedTuple):
    """The view of a picture at one size and side."""

    sureness: float
    shift: tuple[int, int]
    spectrum: Spectrum
    part: float
    is_mirrored: bool


def embed_mark(picture: Image.Image, key: bytes, payload: int) -> Image.Image:
    """The picture with its mark, RGB. payload: 32 bits. Smaller sides than MIN_SIDE_PX are left as they are.

    70 to 250 ms at 512 px, by how often it must be written stronger.
    """
    if min(picture.size) < MIN_SIDE_PX or max(picture.size) > MAX_ASPECT * min(picture.size):
        return picture
    rgb, layout = picture.convert("RGB"), make_layout(key)
    luma = rgb.convert("L")
    base = view(luma, SHORT_PX / min(rgb.size))
    target, visibility = layout.write(encode_payload(payload)), _find_visibility(base)
    marked = rgb
    for strength in STRENGTHS:
        change = _find_change(base, target, visibility, strength)
        marked = _add(rgb, change)
        if _is_found(marked, layout, payload):
            break
    return marked


def find_mark(picture: Image.Image, key: bytes) -> Found | None:
    """Look for a mark in a whole picture of any size, in a part of one, and mirrored.

    It takes 0.01 s where the picture is whole, and seconds where all sizes of parts are tried.
    """
    if max(picture.size) > MAX_ASPECT * min(picture.size):
        return None
    layout = make_layout(key)
    luma = picture.convert("L")
    if min(luma.size) > 2 * SHORT_PX:  # nothing larger is looked at, and resizing it 380 times takes long
        luma = _shrink(luma)
    best: list[Look] = []
    for share in (1.0, *np.exp(-PART * np.arange(1, NUM_PARTS))):
        for is_mirrored in (False, True):
            seen = luma.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if is_mirrored else luma
            plane = view(seen, SHORT_PX * share / min(luma.size))
            if min(plane.shape) < TILE_PX:
                continue
            spectrum = measure(plane)
            sureness, shift = layout.find_shift(spectrum)
            look = Look(sureness, shift, spectrum, float(share), is_mirrored)
            is_likely = share == 1.0 or sureness >= SURE
            if is_likely and (found := _read(layout, look)) is not None:
                return found
            best = sorted([*best, look], key=lambda look: -look.sureness)[:NUM_BEST]
    return next((found for look in best if (found := _read(layout, look)) is not None), None)


def _shrink(luma: Image.Image) -> Image.Image:
    factor = 2 * SHORT_PX / min(luma.size)
    return luma.resize((round(luma.width * factor), round(luma.height * factor)), Image.Resampling.LANCZOS)


def _read(layout: MarkLayout, look: Look) -> Found | None:
    payload = decode_payload(layout.read(look.spectrum, look.shift)) if look.sureness >= SEEN else None
    if payload is None:
        return None
    return Found(payload=payload, sureness=look.sureness, part=look.part, is_mirrored=look.is_mirrored)


def _find_change(base: Plane, target: Spectrum, visibility: Plane, strength: float) -> Plane:
    """The change of the luma. What it lacks is measured as a reader will, added, and measured again."""
    change = np.zeros_like(base)
    for _ in range(NUM_ROUNDS):
        present = measure(base + change)
        real = np.where(target.real == 0, 0, np.clip(WANTED - present.real * target.real, 0, WANTED) * target.real)
        imaginary = np.where(target.imag == 0, 0, np.clip(WANTED - present.imag * target.imag, 0, WANTED) * target.imag)
        change = change + GAIN * visibility * spread(real + 1j * imaginary, base.shape)
        change *= min(1.0, strength / max(float(np.sqrt((change**2).mean())), 1e-9))
    return change


def _find_visibility(base: Plane) -> Plane:
    """Find how strong a change may be at each place: texture hides it, flat areas show it."""
    detail = base - smooth(base, 4)
    texture = smooth(np.sqrt(smooth(detail * detail, 4)), 4)
    return np.asarray(np.clip((texture + 2) / (texture.mean() + 2), 0.35, 1.6), np.float64)


def _add(rgb: Image.Image, change: Plane) -> Image.Image:
    large = Image.fromarray(change.astype(np.float32)).resize(rgb.size, Image.Resampling.BICUBIC)
    summed = np.asarray(rgb, np.float32) + np.asarray(large)[:, :, None]
    return Image.fromarray(np.clip(np.rint(summed), 0, 255).astype(np.uint8))


def _is_found(marked: Image.Image, layout: MarkLayout, payload: int) -> bool:
    """Tell whether the mark is read after a round through JPEG, with some room."""
    buffer = BytesIO()
    marked.save(buffer, "JPEG", quality=TRIAL_QUALITY)
    with Image.open(buffer) as coded:
        spectrum = measure(view(coded.convert("L"), SHORT_PX / min(marked.size)))
    sureness, shift = layout.find_shift(spectrum)
    return sureness >= SURE and decode_payload(layout.read(spectrum, shift)) == payload
