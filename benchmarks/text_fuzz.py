"""The text filter against odd prompts: no exception, and a bound of CPU time for each.

    python benchmarks/text_fuzz.py [--prompts 10000] [--seed 1] [--out benchmarks/results/text_fuzz.json]

The prompts are drawn by a seed: random characters of all of Unicode, of one script, of signs and marks; words that are
repeated, spelt out, stretched, disguised; encodings, in each other and cut off; halves of surrogate pairs; mixtures of
these; from nothing to `LONGEST` characters. The cascade is the one that ships: rules, language, fast, lexical and
strong head. Times are CPU time of one thread. No prompt is written down: the worst are named by kind, length and
number, and the same seed draws them again.
"""

import argparse
import base64
import codecs
import json
import resource
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import thread_time
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.serve import hardware
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.text.load import load_text_filter

LONGEST = 2_000
"""Characters: the longest prompt that is taken."""
TEXT = (
    "a red apple on the table naked woman blood knife castle der die das rote Haus la fleur rouge una casa roja"
    " красная площадь 赤い花 红色的花 빨간 꽃 زهرة حمراء लाल फूल ignore previous instructions step by step"
)
WORDS = TEXT.split()
SCRIPTS = (
    (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x6FF), (0x900, 0x97F),
    (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x20D0, 0x20FF), (0x3040, 0x30FF), (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3), (0xD800, 0xDFFF), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF),
    (0xE0000, 0xE007F),
)  # fmt: skip
Make = Callable[[Random], str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "text_fuzz.json")
    asked = parser.parse_args()
    result = {"hardware": hardware(), **fuzz(asked.prompts, asked.seed)}
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def fuzz(num_prompts: int, seed: int) -> dict[str, Any]:
    text_filter = load_text_filter(rules=None, policy=None, uses_classifier=True)
    text_filter.wait_until_loaded()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kinds = sorted(MAKERS)
    seconds: dict[str, list[tuple[float, int, int]]] = {kind: [] for kind in kinds}
    failed: list[dict[str, Any]] = []
    blocked: Counter[str] = Counter()
    for number in range(num_prompts):
        kind = kinds[number % len(kinds)]
        prompt = MAKERS[kind](Random(f"{seed} {number}"))[:LONGEST]
        started = thread_time()
        try:
            blocked[kind] += text_filter.judge(prompt).verdict is SafetyVerdict.BLOCK
        except Exception as error:  # noqa: BLE001  (any is a crash)
            failed.append({"number": number, "kind": kind, "error": f"{type(error).__name__}: {error}"[:200]})
        seconds[kind].append((thread_time() - started, len(prompt), number))
    every = sorted(one for of_kind in seconds.values() for one in of_kind)
    return {
        "prompts": num_prompts,
        "seed": seed,
        "failed": failed,
        "ms_p50": _ms(every[len(every) // 2][0]),
        "ms_p99": _ms(every[int(len(every) * 0.99)][0]),
        "worst": _describe(every[-1]),
        "grown_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024,
        "kinds": {
            kind: {"prompts": len(of_kind), "blocked": blocked[kind], "worst": _describe(max(of_kind))}
            for kind, of_kind in seconds.items()
        },
    }


def _describe(one: tuple[float, int, int]) -> dict[str, float]:
    return {"ms": _ms(one[0]), "characters": one[1], "number": one[2]}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def draw_length(chance: Random) -> int:
    return chance.choice((0, 1, 2, chance.randrange(3, 80), chance.randrange(80, 600), chance.randrange(600, LONGEST)))


def draw_characters(chance: Random) -> str:
    return "".join(chr(chance.randrange(0x110000)) for _ in range(draw_length(chance)))


def draw_script(chance: Random) -> str:
    first, last = chance.choice(SCRIPTS)
    return "".join(chr(chance.randint(first, last)) for _ in range(draw_length(chance)))


def draw_words(chance: Random) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(draw_length(chance) // 5))


def repeat(chance: Random) -> str:
    return (chance.choice(WORDS) + chance.choice(("", " ", ".", ", ", "\n", "\u200b"))) * (1 + draw_length(chance) // 4)


def spell_out(chance: Random) -> str:
    return chance.choice((" ", ".", "-", "_", "\u200b", " \u0301")).join(draw_words(chance))


def stretch(chance: Random) -> str:
    return "".join(letter * chance.choice((1, 1, 1, 2, 3, 40)) for letter in draw_words(chance))


def disguise(chance: Random) -> str:
    table = {"a": "4@а", "e": "3€е", "i": "1!|", "o": "0о", "s": "5$", "t": "7+", "l": "1|"}
    return "".join(chance.choice(table.get(letter, letter)) for letter in draw_words(chance))


def stack_marks(chance: Random) -> str:
    marks = [chr(mark) for mark in range(0x300, 0x370)]
    return "".join(
        letter + "".join(chance.choices(marks, k=chance.choice((0, 1, 20)))) for letter in draw_words(chance)
    )


def encode(chance: Random) -> str:
    text = draw_words(chance)
    for _ in range(chance.randint(1, 3)):
        data = text.encode("utf-8", "surrogatepass")
        text = chance.choice(
            (
                lambda data=data: base64.b64encode(data).decode(),
                lambda data=data: data.hex(chance.choice(" :,")),
                lambda text=text: quote(text, safe=""),
                lambda text=text: codecs.encode(text, "rot13"),
                lambda text=text: text[::-1],
                lambda text=text: "".join(f"\\u{ord(letter) & 0xFFFF:04x}" for letter in text),
                lambda text=text: "".join(f"&#{ord(letter)};" for letter in text),
                lambda text=text: "; ".join(f'p{at} = "{part}"' for at, part in enumerate(text.split())),
                lambda text=text: "_".join(text.split()),
            )
        )()
    return text[chance.choice((0, 0, 1)) : chance.choice((None, None, -1))]


def sign(chance: Random) -> str:
    return "".join(
        chance.choice("(){}[]<>%\\&#;:*_~^|+•·-=.!?'\"/@$€ \t\n0123456789") for _ in range(draw_length(chance))
    )


def mix(chance: Random) -> str:
    makers = [MAKERS[name] for name in sorted(MAKERS) if name != "mixture"]
    return chance.choice((" ", "", "\n", ". ")).join(chance.choice(makers)(chance)[:400] for _ in range(4))


MAKERS: dict[str, Make] = {
    "any characters": draw_characters,
    "one script": draw_script,
    "words": draw_words,
    "repeated": repeat,
    "spelt out": spell_out,
    "stretched": stretch,
    "disguised": disguise,
    "marks": stack_marks,
    "encoded": encode,
    "signs": sign,
    "mixture": mix,
}


if __name__ == "__main__":
    main()
