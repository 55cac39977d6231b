"""Prepare a text for the classifiers, and read what is disguised in it as a person would.

Training and serving prepare texts alike.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from mezzotint.safety.text.decodings import list_decoded
from mezzotint.safety.text.disguise.restore import restore_words
from mezzotint.safety.text.disguise.reversal import list_reversed
from mezzotint.safety.text.folding import fold, list_readings

MAX_SCORED = 8_000
"""Characters of a prepared text that the classifiers read: four times the longest prompt, since preparing may lengthen
it. The hard rules read all of it."""
MAX_READINGS = 6
MAX_BESIDE_RESTORED = 2
MAX_DISGUISED = 3_000
"""Readings of a disguised text that are scored beside the text as it stands, and their characters together."""
MAX_READINGS_IN_ALL = 12
"""With what encodings hide."""
_INVISIBLE = frozenset({"Cf", "Cc", "Cs"})
_SIGN = "[*_.~^|+•·-]"
_DISGUISES = re.compile(
    r"[a-z][03457@$!|€][a-z]"  # a digit or sign for a letter inside a word; 1 and 8 are common in names of things
    r"|(?<!\S)[@$5][a-z]{2,}"
    rf"|(?<!\w)\w(?:(?:{_SIGN}|\s)\w){{2,}}(?!\w)"  # letters spelt out
    r"|[a-z]{2,}[*_~^|•·]+[a-z]+"
    r"|[a-z][\u0300-\u036f\u0483-\u0489]"  # a mark that makes no letter of an alphabet
    r"|(\w)\1{2,}"
)
_LETTERS = re.compile(r"[^\W\d_]+")


def prepare_text(text: str) -> str:
    """Compatibility forms and invisible characters undone, white space folded, lower case. Accents stay."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    spaced = " ".join(text.split())
    if not spaced.isprintable():
        spaced = "".join(letter for letter in spaced if unicodedata.category(letter) not in _INVISIBLE)
    return " ".join(spaced.lower().split())


@dataclass(frozen=True, slots=True)
class ScoredReadings:
    """texts: the prepared text first, then its restored readings, then the others. num_meant: how many of the first are
    what a person reads.
    """

    texts: tuple[str, ...]
    num_meant: int

    @property
    def plainest(self) -> str:
        """The reading whose language is the text's."""
        return self.texts[min(1, self.num_meant - 1)]


def list_scored_readings(text: str) -> ScoredReadings:
    """The prepared text, cut to `MAX_SCORED`; its words restored; then the readings of the folded text where it is
    disguised, and what encodings hide in it, read alike.
    """
    prepared = prepare_text(text)[:MAX_SCORED]
    restored = list_restored(prepared)
    meant = tuple(dict.fromkeys((prepared, *restored)))
    found = [*meant, *_list_disguised(prepared, MAX_BESIDE_RESTORED if restored else MAX_READINGS)]
    for decoded in map(prepare_text, list_decoded(text)):
        found += (decoded, *_list_disguised(decoded, MAX_BESIDE_RESTORED))
    return ScoredReadings(tuple(dict.fromkeys(found))[:MAX_READINGS_IN_ALL], len(meant))


@lru_cache(256)
def list_restored(prepared: str) -> tuple[str, ...]:
    """Find what is written backwards in the text, or else its words restored where they are disguised.

    The rules and the heads ask one after the other.
    """
    if backwards := list_reversed(prepared):
        return backwards
    restored = restore_words(prepared)
    return () if restored is None else (restored,)


def _list_disguised(prepared: str, most: int) -> list[str]:
    """Readings of a disguised text, the plainest first: most letters in the fewest words."""
    if not is_disguised(prepared):
        return []
    found = list_readings(prepared).worded
    readings = sorted({one.strip() for one in found} - {prepared}, key=lambda one: (len(one.split()), len(one), one))
    return readings[: max(1, min(most, MAX_DISGUISED // max(1, len(prepared))))]


def is_disguised(prepared: str) -> bool:
    """Say whether a reading of the text may say what its letters do not. Errs towards yes; it costs time alone."""
    if _DISGUISES.search(prepared):
        return True
    return not prepared.isascii() and any(map(_is_mixed, _LETTERS.findall(prepared)))


def _is_mixed(word: str) -> bool:
    """Say whether look-alikes or marks stand among plain Latin letters, or make up a word that reads as plain Latin."""
    if word.isascii() or len(word) < 2:
        return False
    bare = "".join(letter for letter in unicodedata.normalize("NFD", word) if unicodedata.category(letter) != "Mn")
    return not bare.isascii() and fold(word).isascii()
