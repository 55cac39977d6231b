"""List the words that disguised ones are restored to: `src/mezzotint/safety/text/disguise/words.txt.gz`.

    python training/safety/list_words.py --data DATA

Each line has a word, its cost, its languages where they are known, and ! where it marks harmful texts. The cost is
minus the natural logarithm of its share of all words, in tenths. Words and shares come from the rows that may train
(each language by itself, all languages taken to be equally common) and from the encoder's vocabulary, whose pieces are
words of its 16 languages (Apache-2.0). Words of scripts without capital letters are not listed: their disguises are
others.
"""

import argparse
import gzip
import json
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from rows import read_rows

from mezzotint.safety.text.encoder import SentenceEncoder
from mezzotint.safety.text.readings import prepare_text
from mezzotint.safety.text.rules import load_rules

OUT = Path(__file__).parents[2] / "src/mezzotint/safety/text/disguise/words.txt.gz"
_WORD = re.compile(r"[^\W\d_]+")
_LISTED = re.compile(r"[a-zß-öø-ÿāăąćčďđēęěğģīıķļłńņňōőœřśşšţťūůűźżžơưạ-ỹа-яёіїєґ]+")
_NUM_LANGUAGES = 16
_MIN_COUNT = {"W": 1, "H": 4}  # handwritten rows have no slips of the pen; posts have many
_MIN_COUNT_ELSEWHERE = 2
_LONGEST = 24
_SHORT, _MAX_COST_OF_SHORT = 3, 115
"""Pieces of up to three letters are mostly parts of words: the common ones alone are listed."""
_SHARED = 4.0
"""How much rarer than in its commonest language a word may be in another of its languages."""
_MIN_HARMFUL, _MIN_ODDS = 5, 2.0
_COST_OF_TERM = 14.5


@dataclass(slots=True)
class Word:
    """cost: in its commonest language. languages: those in which it is common. is_harmful: it marks harmful texts."""

    cost: float = math.inf
    languages: tuple[str, ...] = ()
    is_harmful: bool = False


def count_words(data: Path) -> dict[str, Word]:
    """The words of the rows that may train."""
    totals: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    of_set: dict[str, Counter[str]] = defaultdict(Counter)
    sides: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for row in read_rows(data):
        if row.may_train and row.set != "B":
            words = _WORD.findall(prepare_text(row.text))
            totals[row.language] += len(words)
            counts[row.language].update(words)
            of_set[row.set].update(words)
            sides[row.is_unsafe].update(set(words))
    enough = {
        word
        for name, found in of_set.items()
        for word, count in found.items()
        if count >= _MIN_COUNT.get(name, _MIN_COUNT_ELSEWHERE)
    }
    num_harmful, num_harmless = (sum(counter.values()) for counter in sides.values())
    words: dict[str, Word] = {}
    for word in enough:
        costs = {
            one: math.log(_NUM_LANGUAGES * totals[one] / counts[one][word]) for one in counts if word in counts[one]
        }
        cost = min(costs.values())
        languages = tuple(sorted(one for one, its in costs.items() if its < cost + _SHARED))
        odds = math.log((sides[True][word] + 1) / num_harmful) - math.log((sides[False][word] + 1) / num_harmless)
        words[word] = Word(
            cost, languages, sides[True][word] >= _MIN_HARMFUL and odds > _MIN_ODDS and len(word) > _SHORT
        )
    return words


def list_rule_words() -> set[str]:
    """The single words of the lists that rules block."""
    rules = load_rules(None)
    blocking = {name for rule in rules.rules for name in rule.all_of}
    terms = {term for term, name in rules.terms() if name in blocking}
    return {term for term in terms if _LISTED.fullmatch(term) and len(term) > _SHORT}


def read_pieces() -> dict[str, float]:
    """The cost of each word of the encoder's vocabulary; upper and lower case together."""
    shares: dict[str, float] = defaultdict(float)
    vocabulary = json.loads(SentenceEncoder()._tokenizer.to_str())["model"]["vocab"]
    for piece, score in vocabulary:
        if piece.startswith("▁") and len(piece) > 1:
            shares[piece[1:].lower()] += math.exp(score)
    costs = {word: -math.log(share) for word, share in shares.items()}
    return {word: cost for word, cost in costs.items() if len(word) > _SHORT or 10 * cost < _MAX_COST_OF_SHORT}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    found = count_words(parser.parse_args().data)
    for piece, cost in read_pieces().items():
        word = found.setdefault(piece, Word())
        word.cost = min(word.cost, cost)
    for term in list_rule_words():
        word = found.setdefault(term, Word(cost=_COST_OF_TERM))
        word.is_harmful = True
    listed = sorted(word for word in found if _LISTED.fullmatch(word) and len(word) <= _LONGEST)
    text = "".join(
        f"{word} {round(10 * one.cost)} {','.join(one.languages)}{'!' if one.is_harmful else ''}\n"
        for word, one in ((word, found[word]) for word in listed)
    )
    OUT.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(listed)} words, {sum(found[word].is_harmful for word in listed)} harmful, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
