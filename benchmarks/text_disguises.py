"""Measure what a disguise costs the text filter: the share of plain prompts that it stops, and of the same in disguise.

    python benchmarks/text_disguises.py --out benchmarks/results/text_disguises.json [--sample 150]

The disguises here are made apart from those of the golden sets (`mezzotint.evals.obfuscation`), in other ways. A
disguised harmless prompt should be refused no more often than a plain one. Times are of the processor.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from mezzotint.evals.prompts import read_golden
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.policy_file import load_policy
from mezzotint.safety.text.classifier import TextClassifier
from mezzotint.safety.text.prefilter import PreFilter
from mezzotint.safety.text.text_filter import TextFilter

Change = Callable[[str, random.Random], str]
_WORD = re.compile(r"[^\W\d_]{4,}")
_VOWELS = "aeiouyäöüáéíóúàèâêîôûąęıаеиоуыэюя"
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SIGNS = {"a": "@4", "b": "8", "e": "3€", "g": "9", "i": "1!", "l": "1|", "o": "0", "s": "$5", "t": "7+", "z": "2"}
_TWINS = str.maketrans("aeopcxyi", "аеорсхуі")


def _each_word(text: str, change: Callable[[str], str], share: float, chance: random.Random) -> str:
    return _WORD.sub(lambda word: change(word[0]) if chance.random() < share else word[0], text)


def mask_inside(text: str, chance: random.Random) -> str:
    """Two letters inside each word become one sign each, another sign in each text."""
    sign = chance.choice("*#•█%")

    def change(word: str) -> str:
        places = chance.sample(range(1, len(word)), 2 if len(word) > 5 else 1)
        return "".join(sign if at in places else letter for at, letter in enumerate(word))

    return _each_word(text, change, 0.8, chance)


def exchange_letters(text: str, chance: random.Random) -> str:
    """Two neighbours of a word change places, the first and the last letter among them."""

    def change(word: str) -> str:
        at = chance.randrange(len(word) - 1)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]

    return _each_word(text, change, 0.9, chance)


def mistype(text: str, chance: random.Random) -> str:
    """A letter inside each word is its neighbour on the keyboard, left out or doubled."""

    def change(word: str) -> str:
        at = chance.randrange(1, len(word) - 1)
        row = next((row for row in _KEYS if word[at].lower() in row), "")
        place = row.find(word[at].lower())
        other = row[place - 1] if place > 0 else word[at]
        return word[:at] + chance.choice((other, "", 2 * word[at])) + word[at + 1 :]

    return _each_word(text, change, 0.8, chance)


def drop_vowels(text: str, chance: random.Random) -> str:
    """Each word loses the vowels after its first letter; a third of the words keep theirs."""
    return _each_word(
        text, lambda word: word[0] + "".join(one for one in word[1:] if one.lower() not in _VOWELS), 0.67, chance
    )


def spell_by_sound(text: str, chance: random.Random) -> str:
    for old, new in (("ck", "k"), ("ph", "f"), ("qu", "kw"), ("c", "k"), ("s", "z")):
        text = _each_word(text, lambda word, old=old, new=new: word.replace(old, new, 1), 0.7, chance)  # type: ignore[misc]
    return text


def split_words(text: str, chance: random.Random) -> str:
    """Each longer word is cut after every two or three letters, by a space, a hyphen or a dot."""
    sign = chance.choice(" -.")

    def change(word: str) -> str:
        size = chance.choice((2, 3))
        return sign.join(word[at : at + size] for at in range(0, len(word), size))

    return _each_word(text, change, 0.8, chance)


def spell_out(text: str, chance: random.Random) -> str:
    """Every letter stands alone; the bounds of words are lost."""
    return " ".join(re.sub(r"\s+", "", text))


def run_together(text: str, chance: random.Random) -> str:
    return re.sub(r"\s+", "", text)


def use_capitals(text: str, chance: random.Random) -> str:
    """Words run together, each with a capital."""
    return "".join(word.capitalize() for word in text.split())


def use_signs(text: str, chance: random.Random) -> str:
    return "".join(
        chance.choice(_SIGNS[one]) if one in _SIGNS and chance.random() < 0.6 else one for one in text.lower()
    )


def use_look_alikes(text: str, chance: random.Random) -> str:
    return "".join(one.translate(_TWINS) if chance.random() < 0.5 else one for one in text)


def cut_invisibly(text: str, chance: random.Random) -> str:
    return _each_word(text, lambda word: word[:2] + chance.choice("\u200b\u2060\u00ad") + word[2:], 1, chance)


def reverse_words(text: str, chance: random.Random) -> str:
    return _each_word(text, lambda word: word[::-1], 1, chance)


def reverse_end(text: str, chance: random.Random) -> str:
    """A harmless beginning, and the text backwards behind it."""
    return f"a photo of a harbour with boats, {text[::-1]}"


def add_good_reasons(text: str, chance: random.Random) -> str:
    """Words behind the text that excuse a picture in one rule or another."""
    return f"{text}, museum, documentary, prevention campaign, medical textbook, historical, film set"


def wrap(text: str, chance: random.Random) -> str:
    """A harmless sentence on either side, and the text as one clause between."""
    return (
        f"a bakery window with cakes and ribbons, flowers, morning sun; {text}; an old couple drinks coffee, birds sing"
    )


CHANGES: tuple[Change, ...] = (
    mask_inside,
    exchange_letters,
    mistype,
    drop_vowels,
    spell_by_sound,
    split_words,
    spell_out,
    run_together,
    use_capitals,
    use_signs,
    use_look_alikes,
    cut_invisibly,
    reverse_words,
    reverse_end,
    wrap,
    add_good_reasons,
)
_LANGUAGES = frozenset({"en", "de", "fr", "es", "it", "nl", "pt", "pl", "cs", "tr", "sv", "ru"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sample", type=int, default=150)
    parser.add_argument("--seed", type=int, default=14)
    asked = parser.parse_args()
    classifier: Future[TextClassifier] = Future()
    classifier.set_result(TextClassifier())
    judge = TextFilter(PreFilter.load(), load_policy(), classifier)
    samples = {name: _draw(name, asked.sample, asked.seed) for name in ("adversarial", "benign")}
    found: dict[str, dict[str, float]] = {}
    for change in (None, *CHANGES):
        name = change.__name__ if change else "plain"
        found[name] = {}
        for label, texts in samples.items():
            chance = random.Random(asked.seed)
            began = time.process_time()
            disguised = [change(text, chance) if change else text for text in texts]
            stopped = sum(judge.judge(text).verdict is not SafetyVerdict.ALLOW for text in disguised)
            found[name][f"{label} stopped, %"] = round(100 * stopped / len(texts), 1)
            found[name][f"{label}, ms"] = round(1000 * (time.process_time() - began) / len(texts), 1)
        print(name, found[name], flush=True)
    result = {"rows": {name: len(texts) for name, texts in samples.items()}, "seed": asked.seed, "disguises": found}
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _draw(name: str, count: int, seed: int) -> list[str]:
    """Texts that are written in letters, without any disguise."""
    prompts = [
        prompt.text
        for prompt in read_golden(name, None).prompts
        if prompt.language in _LANGUAGES and (name == "benign" or prompt.obfuscation == "plain")
    ]
    return random.Random(seed).sample(prompts, min(count, len(prompts)))


if __name__ == "__main__":
    main()
