"""Harmful and harmless descriptions put together by rule from handwritten lines (`phrases_en.csv`, `phrases.csv`).

A line is a text in which `{one|other}` stands for one of its alternatives. There are lines of every category, and
harmless ones in the same words, so that a head learns the matter and not the words. Near copies of what measures the
filter are left out (`exclude_phrases.py`).
"""

import csv
import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
EXCLUDED = _HERE / "phrases_excluded.csv"
_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
_TEXTS_OF_ENGLISH_LINE, _TEXTS_OF_LINE = 48, 24


@dataclass(frozen=True, slots=True)
class Phrase:
    """category: "none" where it is harmless. line: names the line; its texts are held out together."""

    language: str
    text: str
    category: str
    line: str


def list_phrases() -> list[Phrase]:
    """The texts that train, the same ones every time."""
    left_out = set(EXCLUDED.read_text(encoding="utf8").split())
    return [one for one in expand_lines() if hashlib.sha256(one.text.encode()).hexdigest()[:16] not in left_out]


def expand_lines() -> Iterator[Phrase]:
    """Yield some texts of each line."""
    for name, language in (("phrases_en.csv", "en"), ("phrases.csv", "")):
        most = _TEXTS_OF_ENGLISH_LINE if language else _TEXTS_OF_LINE
        with (_HERE / name).open(newline="", encoding="utf8") as file:
            for number, line in enumerate(csv.DictReader(file)):
                spoken = language or line["lang"]
                for text in _expand(line["text"], most, number):
                    yield Phrase(spoken, text, line["category"], f"phrase {spoken} {number}")


def _expand(line: str, most: int, seed: int) -> list[str]:
    """Up to `most` different texts of a line."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    for _ in range(2 * most):
        text = _ALTERNATIVES.sub(lambda match: chance.choice(match[1].split("|")), line)
        found[" ".join(text.split())] = None
    return list(found)[:most]
