"""The words that disguised ones are restored to, found by spelling or by what a disguise leaves of them."""

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

from mezzotint.safety.text.folding import fold

LONGEST = 24
"""Letters of the longest word."""
_SHORT = 3
_VOWELS = re.compile("[aeiouyąęыэюяиєїіь]")
_INNER_VOWELS = re.compile("(?<!^)[aeiouąęыэюяиєїі](?!$)")
_DOUBLED = re.compile(r"(.)\1+")

Index = dict[str, tuple[str, ...]]
"""Words by what a disguise leaves of them, the commonest first, at most `MAX_WORDS`."""
MAX_WORDS = 4
Buckets = dict[tuple[str, int], list[str]]


@dataclass(frozen=True)
class Vocabulary:
    """costs: of each word as it is written, -ln of its share of all words. languages: of the words of which they are
    known. harmful: words that mark harmful texts. Safe to use from several threads.
    """

    costs: Mapping[str, float]
    languages: Mapping[str, tuple[str, ...]]
    harmful: frozenset[str]

    @cached_property
    def by_key(self) -> Index:
        """The words of each folded form: accents, look-alikes and case ignored."""
        return self._index((fold(word), word) for word in self.costs)

    @cached_property
    def by_shuffle(self) -> Index:
        """By `shuffle_key`: two letters or more have changed places."""
        return self._index((shuffle_key(key), word) for key, word in self._list_longer())

    @cached_property
    def by_consonants(self) -> Index:
        """By `inner_consonants`, and by `consonants` of those that no inner form has."""
        inner = self._index((inner_consonants(key), word) for key, word in self._list_longer())
        return self._index((consonants(key), word) for key, word in self._list_longer()) | inner

    @cached_property
    def by_single(self) -> Index:
        """By the form without doubled letters."""
        return self._index((single_letters(key), word) for key, words in self.by_key.items() for word in words)

    @cached_property
    def by_first(self) -> Buckets:
        """Folded forms by first letter and length."""
        return self._bucket(0)

    @cached_property
    def by_last(self) -> Buckets:
        """Folded forms by last letter and length."""
        return self._bucket(-1)

    def build_indexes(self) -> None:
        """Build all of them now, not with the first disguised text: 0.5 s of CPU time."""
        _ = self.by_shuffle, self.by_consonants, self.by_single, self.by_first, self.by_last

    def _list_longer(self) -> Iterator[tuple[str, str]]:
        return ((key, word) for key, words in self.by_key.items() if len(key) > _SHORT for word in words)

    def _bucket(self, at: int) -> Buckets:
        found: Buckets = {}
        for key in self.by_key:
            found.setdefault((key[at], len(key)), []).append(key)
        return found

    def _index(self, pairs: Iterable[tuple[str, str]]) -> Index:
        found: dict[str, list[str]] = {}
        for key, word in pairs:
            found.setdefault(key, []).append(word)
        return {key: self._choose(words) for key, words in found.items()}

    def _choose(self, words: list[str]) -> tuple[str, ...]:
        return tuple(sorted(dict.fromkeys(words), key=self.costs.__getitem__)[:MAX_WORDS] if len(words) > 1 else words)


def shuffle_key(key: str) -> str:
    """The first letter, the others in order of the alphabet but the last, the last."""
    return f"{key[0]}{''.join(sorted(key[1:-1]))}{key[-1]}"


def consonants(key: str) -> str:
    return key[0] + _VOWELS.sub("", key[1:])


def inner_consonants(key: str) -> str:
    """Without the vowels between the first and the last letter."""
    return _INNER_VOWELS.sub("", key)


def single_letters(key: str) -> str:
    return _DOUBLED.sub(r"\1", key)


@cache
def load_vocabulary() -> Vocabulary:
    """Read the words that ship (68,000, of some twenty languages): 0.2 s of CPU time, 30 MB with their indexes."""
    data = files("mezzotint.safety.text.disguise").joinpath("words.txt.gz").read_bytes()
    costs: dict[str, float] = {}
    languages: dict[str, tuple[str, ...]] = {}
    harmful: set[str] = set()
    for line in gzip.decompress(data).decode().splitlines():
        word, cost, tags = line.split(" ")
        costs[word] = int(cost) / 10
        if tags.endswith("!"):
            harmful.add(word)
        if named := tags.rstrip("!"):
            languages[word] = tuple(named.split(","))
    return Vocabulary(costs, languages, frozenset(harmful))
