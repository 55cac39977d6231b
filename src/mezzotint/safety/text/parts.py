"""Cut a text into the parts that are scored beside the whole: sentences, clauses, windows, and fragments at commas."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mezzotint.safety.text.encoder import EncodedText, Span

WINDOW, STRIDE = 24, 12
"""Tokens of a window, and between the beginnings of two."""
MIN_SENTENCE = 3
"""Tokens of which fewer are scored as part of the whole alone."""
MAX_CLAUSES = 16
"""Clauses of which each, and each two or three in a row, are scored as well."""
MAX_FRAGMENTS = 24
"""Fragments of which each, and each two in a row, are candidates."""
_SENTENCE_END = re.compile(r"[.!?;|。！？；।]+(?:\s|$)|[。！？；।]")
_CLAUSE_END = re.compile(r"[.!?;|。！？；।]+(?:\s|$)|[。！？；।]|:(?!\d)|[\"“”«»()\[\]<>{}]| -+ |\d\)")
_FRAGMENT_END = re.compile(rf"[,،，、]+(?:\s|$)|[，、]|{_CLAUSE_END.pattern}")


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a text as token ranges, the whole first.

    num_counted: of so many of the first the highest score is the text's; the others are fragments between commas, of
    which the strong head may read the most suspicious. Tags between commas are too many and too short to count by
    themselves.
    """

    spans: tuple[Span, ...]
    num_counted: int


def list_parts(text: str, encoded: EncodedText, *, has_fragments: bool) -> Parts:
    """List the parts of a text. has_fragments: fragments between commas are candidates, too."""
    places = _Places(text, np.array([start for start, _ in encoded.offsets], dtype=np.int64))
    counted = _list_counted(places)
    fragments = _list_rows(places.cut(_FRAGMENT_END), MAX_FRAGMENTS, 2) if has_fragments else []
    return Parts(tuple(dict.fromkeys((*counted, *fragments))), len(counted))


def list_char_spans(text: str, encoded: EncodedText, spans: Sequence[Span]) -> list[Span]:
    """The spans of `list_parts` as ranges of characters. The first is the whole text, tokens or none."""
    offsets = encoded.offsets
    return [(0, len(text)), *((offsets[start][0], offsets[end - 1][1]) for start, end in spans[1:])]


@dataclass(frozen=True, slots=True)
class _Places:
    """starts: the first character of each token."""

    text: str
    starts: NDArray[np.int64]

    def cut(self, end: re.Pattern[str]) -> list[int]:
        """Places between tokens where the pattern cuts the text, with its beginning and its end."""
        ends = [match.end() for match in end.finditer(self.text)]
        inner: list[int] = np.searchsorted(self.starts, ends).tolist() if ends else []
        return sorted({0, len(self.starts), *inner})


def _list_counted(places: _Places) -> list[Span]:
    """The whole, then sentences, clauses (and two and three of them in a row) and windows."""
    num = len(places.starts)
    spans = [(0, num)]
    cuts = places.cut(_SENTENCE_END)
    if len(cuts) > 2:
        spans += [(start, end) for start, end in pairwise(cuts) if end - start >= MIN_SENTENCE]
    spans += _list_rows(places.cut(_CLAUSE_END), MAX_CLAUSES, 3)
    if num > WINDOW + STRIDE:
        spans += [(start, min(start + WINDOW, num)) for start in range(0, num - STRIDE, STRIDE)]
    return list(dict.fromkeys(spans))


def _list_rows(cuts: Sequence[int], most: int, length: int) -> list[Span]:
    """The first `most` pieces between cuts, and rows of up to `length` of them."""
    cuts = cuts[: most + 1]
    rows = [(cuts[at], last) for at in range(len(cuts)) for last in cuts[at + 1 : at + 1 + length]]
    return [(start, last) for start, last in rows if last - start > MIN_SENTENCE]
