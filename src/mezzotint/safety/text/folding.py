"""Undo disguises of words before rules look for them: read a text as a person sees it.

`5ex` may be a seat number or a word, `s e x` three letters or one. So folding never replaces the text: it adds
readings, and a rule may match in any of them. Time is linear in the text.
"""

import re
from dataclasses import dataclass
from itertools import groupby
from unicodedata import category, normalize

# What Unicode's compatibility forms leave apart though the eye does not: Cyrillic, Greek, Armenian, Latin.
_LOOK_ALIKES = {
    **str.maketrans("АВЕКМНОРСТУХІЈЅ", "ABEKMHOPCTYXIJS"),
    **str.maketrans("авекмнорстухіјѕԁԛԝһԍӏ", "abekmhopctyxijsdqwhgl"),
    **str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
    **str.maketrans("αβεηικνορτυχγω", "abenikvoptuxyw"),
    **str.maketrans("օոսհց", "onuhg"),
    **str.maketrans("ıɑɡɩøłđħŧʏɪʀɴʟᴀᴇᴏᴜ", "iagioldhtyirnlaeou"),
}
# Letters drawn as emoji have no compatibility form either: circled, squared, and those that flags are made of.
_EMOJI_LETTERS = {first + at: chr(ord("a") + at) for first in (0x1F150, 0x1F170, 0x1F1E6) for at in range(26)}
_LEET = dict(zip("0345789@$!|+€", "oeastbgasilte", strict=True))
_LEET_READINGS = tuple(str.maketrans({**_LEET, "1": one}) for one in "il")
_LEET_SIGNS = frozenset({*_LEET, "1"})

_IGNORED = frozenset({"Mn", "Me", "Cf"})  # combining marks, joiners, zero widths, tags
_BETWEEN_WORDS = re.compile(r"[^\w]+|_+")
_INSIDE_WORDS = re.compile(r"[^\w\s'’]+|_+")
_LONG_RUN = re.compile(r"(\w)\1{2,}")
_MIN_SPELT_OUT = 3  # letters: "a b" is two words, "s e x" is one


@dataclass(frozen=True, slots=True)
class Readings:
    """worded: readings with a space before, between and after words. spelt_out: words of unknown boundaries."""

    worded: frozenset[str]
    spelt_out: frozenset[str]


def fold(text: str) -> str:
    """Lower-case plain letters: compatibility forms, accents, invisible characters and look-alikes undone."""
    if text.isascii():
        return text.casefold()  # nothing below U+0080 is a disguise
    visible = "".join(character for character in normalize("NFKD", text) if category(character) not in _IGNORED)
    return visible.translate(_LOOK_ALIKES).translate(_EMOJI_LETTERS).casefold()


def space_words(folded: str) -> str:
    """The words with one space before, between and after. folded: as `fold` returns it."""
    return f" {_BETWEEN_WORDS.sub(' ', folded).strip()} "


def list_readings(text: str) -> Readings:
    """Make every reading in which the rules look for terms."""
    folded = fold(text)
    worded: set[str] = set()
    spelt_out: set[str] = set()
    leet = (" ".join(_read_leet(word, letters) for word in folded.split()) for letters in _LEET_READINGS)
    for base in {folded, *leet}:
        words = space_words(base)
        joined, runs = _join_letters(words)
        spelt_out.update(runs)
        worded.update((words, joined, space_words(_INSIDE_WORDS.sub("", base))))
    for words in tuple(worded):
        worded.update(_LONG_RUN.sub(kept, words) for kept in (r"\1", r"\1\1"))
    return Readings(frozenset(worded), frozenset(spelt_out))


def _read_leet(word: str, letters: dict[int, str]) -> str:
    """Read digits and signs as letters in a word that also has letters, or that is one sign."""
    core = word.rstrip("!.,;:?")
    is_mixed = not _LEET_SIGNS.isdisjoint(core) and (len(core) == 1 or any(map(str.isalpha, core)))
    return core.translate(letters) if is_mixed else word


def _join_letters(words: str) -> tuple[str, list[str]]:
    """The words with spelt-out letters put together, and what was put together. words: as `space_words` returns it."""
    out: list[str] = []
    runs: list[str] = []
    for is_letter, group in groupby(words.split(), key=lambda word: len(word) == 1):
        members = list(group)
        if is_letter and len(members) >= _MIN_SPELT_OUT:
            runs.append("".join(members))
            members = runs[-1:]
        out.extend(members)
    return f" {' '.join(out)} ", runs
