"""The same thing in another colour: what teaches the model that a colour word is about colour.

Only things that are mostly of one hue are turned, and of them only the pixels of that hue: an apple's leaf stays green.
"""

from typing import Literal

import numpy as np
from art import Pixels
from numpy.typing import NDArray
from PIL import Image

Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black"]

HUES_DEG: dict[Colour, float] = {
    "red": 2, "orange": 28, "yellow": 50, "green": 125, "blue": 212, "purple": 275, "pink": 330,
}  # fmt: skip
BROWN_HUE_DEG = 24.0
DARKENED: dict[Colour, tuple[float, float]] = {"brown": (0.8, 0.62), "black": (0.15, 0.3)}  # saturation, value kept
BROWNISH_DEG = (12.0, 48.0)  # dark pictures of these hues are called brown
DARK_VALUE = 0.72
COLOURED_SATURATION = 0.3
COLOURED_VALUE = 0.2
ONE_HUE_DEG = 38.0  # pixels this near to the main hue belong to it
ONE_HUE_SHARE = 0.6  # of the coloured weight, for a thing to count as being of one colour
COLOURED_SHARE = 0.25  # of what is not white, for a thing to count as coloured at all
DEG = 360 / 255  # Pillow keeps hues in bytes

Hsv = NDArray[np.float64]


def recolour(picture: Pixels) -> dict[Colour, Pixels]:
    """The picture in every colour, its own under its own name; empty when it is not mainly of one hue.

    picture: [h, w, 3] on white.
    """
    hsv = np.asarray(Image.fromarray(picture).convert("HSV")).astype(np.float64)
    weight = _colour_weight(hsv)
    drawn = (255 - picture.astype(int)).sum(-1) > 30
    if drawn.mean() < 0.1 or weight[drawn].mean() < COLOURED_SHARE:
        return {}
    main_deg = _main_hue(hsv, weight)
    of_main_hue = _distance(hsv[..., 0] * DEG, main_deg) < ONE_HUE_DEG
    if weight[of_main_hue].sum() < ONE_HUE_SHARE * weight.sum():
        return {}
    turned = {colour: _turn(hsv, of_main_hue, main_deg, colour) for colour in (*HUES_DEG, "brown", "black")}
    value = float((hsv[..., 2] / 255)[of_main_hue & (weight > 0)].mean())
    return turned | {_name(main_deg, value): picture}


def _colour_weight(hsv: Hsv) -> NDArray[np.float64]:
    saturation, value = hsv[..., 1] / 255, hsv[..., 2] / 255
    return saturation * value * (saturation > COLOURED_SATURATION) * (value > COLOURED_VALUE)


def _main_hue(hsv: Hsv, weight: NDArray[np.float64]) -> float:
    degrees = hsv[..., 0] * DEG
    histogram, _ = np.histogram(degrees, 36, (0, 360), weights=weight)
    smooth = histogram + np.roll(histogram, 1) + np.roll(histogram, -1)
    peak = smooth.argmax() * 10.0 + 5
    near = weight * (_distance(degrees, peak) < 20)
    angle = np.deg2rad(degrees)
    return float(np.rad2deg(np.arctan2((np.sin(angle) * near).sum(), (np.cos(angle) * near).sum())) % 360)


def _distance(degrees: NDArray[np.float64], other_deg: float) -> NDArray[np.float64]:
    return np.abs((degrees - other_deg + 180) % 360 - 180)


def _name(hue_deg: float, value: float) -> Colour:
    if BROWNISH_DEG[0] < hue_deg < BROWNISH_DEG[1] and value < DARK_VALUE:
        return "brown"
    return min(HUES_DEG, key=lambda colour: abs((hue_deg - HUES_DEG[colour] + 180) % 360 - 180))


def _turn(hsv: Hsv, where: NDArray[np.bool_], main_deg: float, colour: Colour) -> Pixels:
    turned = hsv.copy()
    if colour != "black":
        turn_deg = HUES_DEG.get(colour, BROWN_HUE_DEG) - main_deg
        turned[where, 0] = (turned[where, 0] + turn_deg / DEG) % 256
    if colour in DARKENED:
        saturation_kept, value_kept = DARKENED[colour]
        # white paper has a hue too, and must stay white
        ink = where * np.clip(hsv[..., 1] / 255 / COLOURED_SATURATION, 0, 1)
        turned[..., 1] *= 1 - ink * (1 - saturation_kept)
        turned[..., 2] *= 1 - ink * (1 - value_kept)
    return np.asarray(Image.fromarray(turned.round().astype(np.uint8), "HSV").convert("RGB"))
