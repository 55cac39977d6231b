"""Find the terms of all lists in a text at once, in each of its readings."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

from ahocorasick_rs import AhoCorasick

from mezzotint.safety.text.folding import SpeltOut, fold, list_readings, space_words
from mezzotint.safety.text.rules import Rules

_MIN_INSIDE = 4  # letters of a term that is looked for inside spelt-out text, where word boundaries are lost
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Thai, Lao, Burmese, Khmer, kana, Chinese characters and Hangul, whose endings follow without a space."""
_NUM_REMEMBERED = 128
"""Texts: the choices of a request share a negative prompt, and a refused request is often sent again."""
_HARMLESS = ""


class TermIndex:
    """The terms of the rules, searched together."""

    def __init__(self, rules: Rules) -> None:
        terms = [(space_words(fold(term)), name) for term, name in rules.terms()]
        terms += [(space_words(fold(phrase)), _HARMLESS) for phrase in rules.harmless_phrases()]
        words = [(_bound(term), name) for term, name in terms if term.strip()]
        inside = [(term.replace(" ", ""), name) for term, name in words if name != _HARMLESS]
        inside = [(term, name) for term, name in inside if len(term) >= _MIN_INSIDE]
        self._known_words = frozenset(word for term, _ in words for word in term.split())
        self._word_lists = [name for _, name in words]
        self._inside_lists = [name for _, name in inside]
        self._words = AhoCorasick([term for term, _ in words])
        self._inside = AhoCorasick([term for term, _ in inside])
        self.lists_in = lru_cache(_NUM_REMEMBERED)(self._lists_in)

    def _lists_in(self, text: str) -> frozenset[str]:
        """Names of the lists of which the text has a term."""
        readings = list_readings(text, self._known_words)
        found = {name for worded in readings.worded for name in self._in_words(worded)}
        for run in readings.spelt_out:
            found.update(self._in_spelt_out(run))
        return frozenset(found)

    def _in_spelt_out(self, run: SpeltOut) -> Iterator[str]:
        """Lists of the terms that have letters of the run. Among the words beside it a term ends where a word does."""
        words = (*run.before, run.letters, *run.after)
        bounds = (0, *accumulate(map(len, words)))
        first, last = bounds[len(run.before)], bounds[len(run.before) + 1]
        for at, start, end in self._inside.find_matches_as_indexes("".join(words), overlapping=True):
            is_of_run = start < last and end > first
            if is_of_run and (start >= first or start in bounds) and (end <= last or end in bounds):
                yield self._inside_lists[at]

    def _in_words(self, worded: str) -> set[str]:
        matches = [
            (self._word_lists[at], start, end)
            for at, start, end in self._words.find_matches_as_indexes(worded, overlapping=True)
            if not (worded[start].isdigit() and start > 0 and worded[start - 1].isdigit())  # 5岁 is no part of 25岁
        ]
        harmless = sorted((start, end) for name, start, end in matches if name == _HARMLESS)
        starts = [start for start, _ in harmless]
        reaches = list(accumulate((end for _, end in harmless), max))
        return {
            name for name, start, end in matches if name != _HARMLESS and not _is_within(start, end, starts, reaches)
        }


def _bound(term: str) -> str:
    """The term as it is searched for: as whole words, or inside of them in a script without spaces between words."""
    return term.strip() if _UNSPACED.search(term) else term


def _is_within(start: int, end: int, starts: Sequence[int], reaches: Sequence[int]) -> bool:
    """Say whether one span holds the other. starts: of the spans, sorted. reaches: the furthest end up to each."""
    at = bisect_right(starts, start)
    return at > 0 and end <= reaches[at - 1]
