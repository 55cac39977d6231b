"""Disguised, wrapped and restyled copies of training rows, so that a head learns the matter and not the manner."""

import random
from collections.abc import Sequence
from dataclasses import replace

from rows import Row, key_of

_LOOK_ALIKES = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7"}
_STYLES = (
    "digital art, highly detailed",
    "oil painting",
    "photo, 35mm, realistic",
    "trending on artstation",
    "4k, cinematic lighting",
    "in the style of a watercolor",
    "concept art, intricate",
    "cartoon",
    "black and white photograph",
    "portrait, sharp focus",
)
_OPENINGS = (
    "a picture of",
    "generate an image of",
    "please draw",
    "i want to see a photo showing",
    "show me",
    "create an illustration of",
    "a realistic depiction of",
    "an image that shows",
)
# Copies a row of each set; the small sources of real prompts need them most.
_COPIES = {"A": 1.0, "C": 0.25, "D": 0.25, "E": 0.2, "T": 0.05, "H": 0.03, "W": 0.3, "B": 0.0}


def augmented(rows: Sequence[Row], seed: int) -> list[Row]:
    """Copies of some rows. A copy keeps its row's labels, set, source and group, so that it is held out with it."""
    chance = random.Random(seed)
    harmless = [row.text for row in rows if not row.is_unsafe and row.set in {"C", "D"}]
    copies = []
    for row in rows:
        if chance.random() >= _COPIES[row.set]:
            continue
        text = _change(row.text, chance, chance.choice(harmless))
        copies.append(replace(row, text=text, key=key_of(text)))
    return copies


def _change(text: str, chance: random.Random, harmless: str) -> str:
    kind = chance.random()
    if kind < 0.15:
        share = chance.choice((0.3, 0.6, 0.9))
        return "".join(_disguise(letter, chance) if chance.random() < share else letter for letter in text)
    if kind < 0.22:
        return " ".join(_space_out(word, chance) if chance.random() < 0.4 else word for word in text.split())
    if kind < 0.32:
        return _swap_letters(text, chance)
    if kind < 0.62:
        return _restyle(text, chance)
    return _wrap(text, chance, harmless)


def _disguise(letter: str, chance: random.Random) -> str:
    return chance.choice(_LOOK_ALIKES.get(letter.lower(), letter))


def _space_out(word: str, chance: random.Random) -> str:
    return chance.choice(" .-*").join(word) if len(word) > 3 else word


def _swap_letters(text: str, chance: random.Random) -> str:
    letters = list(text)
    for at in range(len(letters) - 1):
        if letters[at].isalpha() and chance.random() < 0.06:
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)


def _restyle(text: str, chance: random.Random) -> str:
    if chance.random() < 0.5:
        return f"{chance.choice(_OPENINGS)} {text}"
    return f"{text}, {chance.choice(_STYLES)}"


def _wrap(text: str, chance: random.Random, harmless: str) -> str:
    """The text with a harmless one before or after it: whatever is wrapped so, harmful or not, stays what it was."""
    other = " ".join(harmless.split()[:14])
    between = chance.choice((", ", ". ", " and ", " | ", " "))
    return other + between + text if chance.random() < 0.5 else " ".join(text.split()[:26]) + between + other
