"""Handwritten everyday captions in the languages that the fast encoder knows (`scenes.toml`), put together by rule."""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path

_CAPTIONS_A_LANGUAGE = 160


def scene_texts() -> Iterator[tuple[str, str]]:
    """Yield language and caption, the same ones every time."""
    languages = tomllib.loads(Path(__file__).with_name("scenes.toml").read_text(encoding="utf8"))
    chance = random.Random(14)
    for language, parts in languages.items():
        for _ in range(_CAPTIONS_A_LANGUAGE):
            words = [chance.choice(parts["who"]), chance.choice(parts["does"])]
            if chance.random() < 0.7:
                words.append(chance.choice(parts["where"]))
            yield language, parts["join"].join(words).rstrip("，、")
