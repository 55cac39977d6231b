"""Put a text, harmful or not, into words that do not change what it shows: museum, research, fiction, lists ..."""

import random
import tomllib
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parent / "framings.toml"
_ANY_LANGUAGE = {"around": ["{calm}. {}", "{}. {calm}", "{calm}. {}. {calm}", "1) {calm} 2) {}"]}
_LONGEST_CALM = 14  # words of a harmless picture that stands beside the text


@cache
def _framings() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(_FILE.read_text(encoding="utf8"))


def frame_text(text: str, chance: random.Random, calm: list[str], language: str = "en") -> str:
    """The text in a framing of its language (around another one, where there is none). calm: harmless pictures."""
    families = _framings().get(language, _ANY_LANGUAGE)
    template = chance.choice(families[chance.choice(list(families))])
    parts = []
    for piece in template.replace("{}", "{text}").split("{"):
        name, closed, rest = piece.partition("}")
        parts.append(_fill(name, text, chance, calm) + rest if closed else name)
    return "".join(parts)


def _fill(name: str, text: str, chance: random.Random, calm: list[str]) -> str:
    if name == "text":
        return text.rstrip(" .")
    if name == "calm":
        return " ".join(chance.choice(calm).split()[:_LONGEST_CALM]).rstrip(" .,")
    return ", ".join(chance.sample(_framings()["pieces"]["calm"], chance.randint(2, 6)))
