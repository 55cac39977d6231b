"""Guess the word behind a disguised one: what it costs is how far the two are apart, and how rare the word is."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product
from string import ascii_lowercase
from typing import NamedTuple

from mezzotint.safety.text.disguise.vocabulary import (
    LONGEST,
    Index,
    Vocabulary,
    consonants,
    shuffle_key,
    single_letters,
)
from mezzotint.safety.text.folding import fold

UNKNOWN, UNKNOWN_LETTER = 8.0, 2.6
"""The costs of a word that is in no list, and of each of its letters."""
MASKS = frozenset("*#_%?^~•·●○◯■□█▒░▪◼◻×⨯¤–—-.")
"""Signs that may stand for a letter that is left out."""
_SIGNS = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "gb", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il", "|": "li", "€": "e", "+": "t", "(": "c", "£": "l", "¡": "i", "¢": "c", "&": "a",
}  # fmt: skip
_SOUNDS = (
    ("ph", "f"), ("f", "ph"), ("ck", "k"), ("kk", "ck"), ("k", "c"), ("c", "k"), ("z", "s"), ("s", "z"), ("x", "cks"),
    ("x", "ks"), ("ks", "x"), ("v", "u"), ("vv", "w"), ("uu", "w"), ("qu", "kw"), ("kw", "qu"), ("y", "i"), ("i", "y"),
    ("j", "g"), ("oo", "u"), ("u", "oo"), ("ee", "i"), ("i", "ee"),
)  # fmt: skip
_MEASURE = re.compile(r"\d+([.,]\d+)?[a-z]{0,2}|[a-z]\d+([.,]\d+)?|[a-z]+\d{1,4}")
"""35mm, f1.8, 4k, mp3, 1970s: digits that are digits."""
_MAX_PRODUCT = 32
_EXACT, _SIGN, _DOUBLED, _SOUND, _SHUFFLED, _BARE, _EDITED, _MASKED, _WIDE = 0.5, 1.0, 1.0, 2.0, 3.0, 3.5, 4.5, 0.8, 3.0
_MIN_EDITED, _MIN_SHUFFLED, _MIN_SIGNED, _MIN_NEAR = 4, 4, 3, 6
_MIN_SHOWN = 0.34
"""The least share of a masked word's letters that must be left."""
_OF_OTHER_LANGUAGE, _OF_NO_LANGUAGE = 4.0, 1.0


class Guess(NamedTuple):
    """is_sure: the letters are the word's own, with other signs or accents: no other word was written. is_near: all of
    its letters are there, in another order or spelt by sound, or it is long and differs in one letter inside.
    is_edited: a letter is another one, or one too many or too few.
    """

    word: str
    cost: float
    is_sure: bool
    is_near: bool = True
    is_edited: bool = False


class Guesser:
    """Safe to use from several threads."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary
        self.guess = lru_cache(4096)(self._guess)
        self.guess_masked = lru_cache(4096)(self._guess_masked)

    def _guess(self, word: str, language: str = "") -> Guess | None:
        """The likeliest word that these letters and signs, no space among them, were written for."""
        key = fold(word)
        if not key or len(key) > LONGEST:
            return None
        return min(self._list_guesses(key, language), key=lambda one: one.cost, default=None)

    def _list_guesses(self, key: str, language: str) -> Iterator[Guess]:
        for spelt in _spell(key):
            extra = _EXACT if spelt == key else _SIGN
            if (words := self._words.by_key.get(spelt)) is not None:
                yield self.choose(words, extra, language, is_sure=True)
                continue
            if not spelt.isalpha():
                continue
            if spelt != key and len(spelt) >= _MIN_SIGNED:
                yield Guess(spelt, UNKNOWN + UNKNOWN_LETTER * len(spelt) - UNKNOWN_LETTER - extra, is_sure=True)
            for index, found, cost in self._list_keys(spelt):
                if (words := index.get(found)) is not None:
                    guess = self.choose(words, cost + extra, language, is_sure=False)
                    yield guess._replace(
                        is_near=cost < _EDITED or _differs_inside(key, guess.word), is_edited=cost == _EDITED
                    )

    def choose(self, words: Iterable[str], extra: float, language: str, *, is_sure: bool) -> Guess:
        """The likeliest of the words in a text of the language. extra: what it costs to read the letters so."""
        costs = self._words.costs
        word = min(words, key=lambda one: costs[one] + self._distance(one, language))
        return Guess(word, costs[word] + self._distance(word, language) + extra, is_sure)

    def _distance(self, word: str, language: str) -> float:
        if not language:
            return 0.0
        languages = self._words.languages.get(word)
        if languages is None:
            return _OF_NO_LANGUAGE
        return 0.0 if language in languages else _OF_OTHER_LANGUAGE

    def _list_keys(self, key: str) -> Iterator[tuple[Index, str, float]]:
        words = self._words
        if (single := single_letters(key)) != key:
            yield words.by_single, single, _DOUBLED
        if len(key) >= _MIN_SHUFFLED:
            yield words.by_shuffle, shuffle_key(key), _SHUFFLED
            yield from ((words.by_key, other, _SHUFFLED) for other in _exchange_ends(key))
        if len(key) > 1 and len(consonants(key[:-1])) == len(key) - 1:
            yield words.by_consonants, key, _BARE
            yield words.by_consonants, consonants(key), _BARE + _SIGN
        for other in _sound_alike(key):
            yield words.by_key, other, _SOUND
        if len(key) >= _MIN_EDITED:
            for other in _edit_once(key):
                if other[-1] == key[-1]:  # another ending is another form of a word, not a slip
                    yield words.by_key, other, _EDITED

    def _guess_masked(self, word: str, language: str = "") -> Guess | None:
        """The likeliest word of which signs hide some letters: a letter each, or a run of them some."""
        key = fold(word)
        shown = sum(letter.isalnum() for letter in key)
        if not 3 <= len(key) <= LONGEST or shown < max(1, _MIN_SHOWN * len(key)):
            return None
        return min(self._match(key, language), key=lambda one: one.cost, default=None)

    def _match(self, key: str, language: str) -> Iterator[Guess]:
        by_key = self._words.by_key
        pattern = re.compile("".join(map(_class_of, key)))
        extra = _MASKED * sum(map(MASKS.__contains__, key))
        for found in self._list_bucket(key, len(key)):
            if pattern.fullmatch(found):
                yield self.choose(by_key[found], extra, language, is_sure=True)
        runs = re.compile(re.sub(r"(?:\[\^\\d\])+", r"[^\\d]+", pattern.pattern))
        for length in (len(key) + 1, len(key) + 2, len(key) + 3, len(key) - 1):
            for found in self._list_bucket(key, length):
                if runs.fullmatch(found):
                    yield self.choose(by_key[found], extra + _WIDE, language, is_sure=True)

    def _list_bucket(self, key: str, length: int) -> list[str]:
        words = self._words
        if key[0].isalpha():
            return words.by_first.get((key[0], length), [])
        return words.by_last.get((key[-1], length), []) if key[-1].isalpha() else []


def _differs_inside(key: str, word: str) -> bool:
    return min(len(key), len(word)) >= _MIN_NEAR and key[0] == fold(word[0]) and key[-1] == fold(word[-1])


def _class_of(letter: str) -> str:
    if letter in MASKS:
        return r"[^\d]"
    return f"[{_SIGNS[letter]}]" if letter in _SIGNS else re.escape(letter)


def _spell(key: str) -> Iterator[str]:
    """The folded word as it stands, then with digits and signs read as letters in every way."""
    yield key
    letters = sum(map(str.isalpha, key))
    if letters == len(key) or letters * 4 < len(key) or _MEASURE.fullmatch(key):
        return
    choices = [_SIGNS.get(letter, letter) for letter in key]
    for at, spelt in enumerate(product(*choices)):
        if at == _MAX_PRODUCT:
            return
        yield "".join(spelt)


def _sound_alike(key: str) -> Iterator[str]:
    for old, new in _SOUNDS:
        if old in key:
            yield key.replace(old, new)


def _exchange_ends(key: str) -> tuple[str, str]:
    """Forms in which the first or the last letter has changed places with its neighbour."""
    return key[1] + key[0] + key[2:], key[:-2] + key[-1] + key[-2]


def _edit_once(key: str) -> Iterator[str]:
    """Forms with one letter less, one exchanged or one more."""
    alphabet = ascii_lowercase if key.isascii() else "aeijkmocpxyhтбвгдзилнпуфцчшщъыьэюя"
    for at in range(len(key) + 1):
        before, after = key[:at], key[at:]
        if after:
            yield before + after[1:]
        for letter in alphabet:
            yield before + letter + after
            if after:
                yield before + letter + after[1:]
