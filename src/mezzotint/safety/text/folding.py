"""Undo disguises of words before rules look for them: read a text as a person sees it.

`5ex` may be a seat number or a word, `s e x` three letters or one. So folding never replaces the text: it adds
readings, and a rule may match in any of them. Time is linear in the text.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby, product
from string import digits
from unicodedata import category, normalize

# What Unicode's compatibility forms leave apart though the eye does not: Cyrillic, Greek, Armenian, Latin.
_LOOK_ALIKES = {
    **str.maketrans("АВЕКМНОРСТУХІЈЅ", "ABEKMHOPCTYXIJS"),
    **str.maketrans("авекмнорстухіјѕԁԛԝһԍӏ", "abekmhopctyxijsdqwhgl"),
    **str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
    **str.maketrans("αβεηικνορτυχγω", "abenikvoptuxyw"),
    **str.maketrans("օոսհց", "onuhg"),
    **str.maketrans("ıɑɡɩøłđħŧ", "iagioldht"),
    **str.maketrans("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),
}
# Letters drawn as emoji have no compatibility form either: circled, squared, and those that flags are made of.
_EMOJI_LETTERS = {first + at: chr(ord("a") + at) for first in (0x1F150, 0x1F170, 0x1F1E6) for at in range(26)}
_LEET = dict(zip("0345789@$!|+€", "oeastbgasilte", strict=True))
_LEET_READINGS = tuple(str.maketrans({**_LEET, "1": one}) for one in "il")
_LEET_WITHOUT_DIGITS = {code: letter for code, letter in _LEET_READINGS[0].items() if not chr(code).isdigit()}
_LEET_SIGNS = frozenset({*_LEET, "1"})

_IGNORED = frozenset({"Mn", "Me", "Cf"})  # combining marks, joiners, zero widths, tags
_BETWEEN_WORDS = re.compile(r"[^\w]+|_+")
_INSIDE_WORDS = re.compile(r"[^\w\s'’]+|_+")
_LONG_RUN = re.compile(r"(\w)\1{2,}")
_MAX_RUNS = 4  # of a stretched word; its shorter forms are tried one by one
_MIN_SPELT_OUT = 3  # letters: "a b" is two words, "s e x" is one
_MIN_LEET_NUMBER = 4  # signs
_NUM_NEIGHBOURS = 3  # words that may belong to the same term as a spelt-out one


@dataclass(frozen=True, slots=True)
class SpeltOut:
    """letters: words that were spelt out, with no boundary between them. before, after: the words beside them."""

    before: tuple[str, ...]
    letters: str
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Readings:
    """worded: readings with a space before, between and after words. spelt_out: words of unknown boundaries."""

    worded: frozenset[str]
    spelt_out: frozenset[SpeltOut]


def fold(text: str) -> str:
    """Lower-case plain letters: compatibility forms, accents, invisible characters and look-alikes undone."""
    if text.isascii():
        return text.casefold()  # nothing below U+0080 is a disguise
    visible = "".join(character for character in normalize("NFKD", text) if category(character) not in _IGNORED)
    # Hangul is put together again: a syllable counts as one letter, as in "세 글 자". The table is read again after
    # lower case is made: of rare Latin letters it has the small form alone.
    letters = normalize("NFC", visible).translate(_LOOK_ALIKES).translate(_EMOJI_LETTERS)
    return letters.casefold().translate(_LOOK_ALIKES)


def space_words(folded: str) -> str:
    """The words with one space before, between and after. folded: as `fold` returns it."""
    return f" {_BETWEEN_WORDS.sub(' ', folded).strip()} "


def list_readings(text: str, known_words: Collection[str] = ()) -> Readings:
    """Make every reading in which the rules look for terms. known_words: the forms that stretched words may have."""
    folded = fold(text)
    worded: set[str] = set()
    spelt_out: set[SpeltOut] = set()
    for base in {folded, *_list_leet_readings(folded)}:
        words = space_words(base)
        joined, runs = _join_letters(words)
        spelt_out.update(runs)
        worded.update((words, joined, space_words(_INSIDE_WORDS.sub("", base))))
    for words in filter(_LONG_RUN.search, tuple(worded)):
        worded.update(_LONG_RUN.sub(kept, words) for kept in (r"\1", r"\1\1"))
        for lengths in ((1, 2), (2, 1)):  # "mannn" may be man or mann
            worded.add(f" {' '.join(_shorten_runs(word, known_words, lengths) for word in words.split())} ")
    return Readings(frozenset(worded), frozenset(spelt_out))


def _list_leet_readings(folded: str) -> Iterator[str]:
    words = folded.split()
    if _LEET_SIGNS.isdisjoint(folded):
        return
    yield folded.translate(_LEET_WITHOUT_DIGITS)
    for letters, tail, keeps_numbers in product(_LEET_READINGS, ("!.,;:?", ""), (False, True)):
        # A "!" at the end may be an i; in `4 ca75` the 4 is a 4.
        yield " ".join(word if keeps_numbers and word.isdigit() else _read_leet(word, letters, tail) for word in words)
    # In `4y34r` the 4 is a 4; in `0ld` the 0 is none, for no number begins with it.
    starts = [0 if word.startswith("0") else len(word) - len(word.lstrip(digits)) for word in words]
    yield " ".join(word[:at] + _read_leet(word[at:], _LEET_READINGS[0]) for word, at in zip(words, starts, strict=True))


def _read_leet(word: str, letters: dict[int, str], tail: str = "!.,;:?") -> str:
    """tail: signs that are no letters at the end of the word; they go."""
    core = word.rstrip(tail) if tail else word
    return core.translate(letters) if _is_leet(core) else word


def _is_leet(word: str) -> bool:
    """Say whether digits and signs may be letters: the word has letters as well, is one sign, or is long."""
    if _LEET_SIGNS.isdisjoint(word):
        return False
    return len(word) == 1 or len(word) >= _MIN_LEET_NUMBER or any(map(str.isalpha, word))


def _shorten_runs(word: str, known_words: Collection[str], lengths: tuple[int, int]) -> str:
    """The known word that this one stretches: a long run stands for so many letters, the first length tried first."""
    runs = list(_LONG_RUN.finditer(word))
    if not runs:
        return word
    if len(runs) <= _MAX_RUNS:
        for kept_lengths in product(lengths, repeat=len(runs)):
            kept = iter(kept_lengths)
            form = _LONG_RUN.sub(lambda run, kept=kept: run[1] * next(kept), word)  # type: ignore[misc]
            if form in known_words:
                return form
    return _LONG_RUN.sub(r"\1", word)


def _join_letters(words: str) -> tuple[str, list[SpeltOut]]:
    """The words with spelt-out letters put together, and what was put together. words: as `space_words` returns it."""
    out: list[str] = []
    places: list[int] = []
    for is_letter, group in groupby(words.split(), key=lambda word: len(word) == 1 and word.isalpha()):
        members = list(group)
        if is_letter and len(members) >= _MIN_SPELT_OUT:
            places.append(len(out))
            members = ["".join(members)]
        out.extend(members)
    runs = [
        SpeltOut(tuple(out[max(0, at - _NUM_NEIGHBOURS) : at]), out[at], tuple(out[at + 1 : at + 1 + _NUM_NEIGHBOURS]))
        for at in places
    ]
    return f" {' '.join(out)} ", runs
