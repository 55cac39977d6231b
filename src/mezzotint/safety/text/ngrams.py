"""Number the words and the runs of letters of a text, so that a linear head may weigh each."""

import re
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

NUM_BUCKETS = 1 << 18
"""Numbers that words and runs share: there are more of them than that, so some get the same one."""
LENGTHS = (2, 3, 4, 5)
"""Letters of a run. The space before a word and the one after it count as letters."""
_WORD = re.compile(r"[\w']+")
_NO_WORD = re.compile(r"[^\w']")
_SPACE = np.uint64(ord(" "))
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_TURN = np.uint64(29)
_SHIFT = np.uint64(64 - 18)

Numbers = NDArray[np.int64]


class Ngrams:
    """The numbers of a text's words, pairs of words and runs of letters, and where in the text each stands."""

    def __init__(self, text: str) -> None:
        """text: as `prepare_text` returns it."""
        spaced = f" {_NO_WORD.sub(' ', text)} "
        letters = np.frombuffer(spaced.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
        kept = np.ones(len(letters), np.bool_)
        kept[1:] = (letters[1:] != _SPACE) | (letters[:-1] != _SPACE)
        places = np.flatnonzero(kept) - 1  # in the text; the spaces around it stand at -1 and at its length
        letters = letters[kept]
        before = places.copy()  # a space counts as part of the word after it, however many signs stand between
        before[:-1] = np.where(letters[:-1] == _SPACE, places[1:] - 1, places[:-1])
        lengths = [length for length in LENGTHS if len(letters) >= length]
        words = _number_words(text)
        numbers = np.concatenate([*(_number_runs(letters, length) for length in lengths), words[0]])
        starts = np.concatenate([*(before[: len(before) - length + 1] for length in lengths), words[1]])
        ends = np.concatenate([*(places[length - 1 :] + 1 for length in lengths), words[2]])
        order = np.argsort(numbers)
        numbers = numbers[order]
        self._starts, self._ends = starts[order], ends[order]
        self._firsts = np.flatnonzero(np.diff(numbers, prepend=-1))
        self.numbers: Numbers = numbers[self._firsts]
        """Each number of the text once, ascending, 0 to NUM_BUCKETS - 1."""
        self._length = len(text)

    def list_numbers(self, start: int, end: int) -> Numbers:
        """The numbers of that part of the text."""
        members: NDArray[np.bool_] = self.find_members([(start, end)])[0]
        return self.numbers[members]

    def find_members(self, spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
        """Say which of `numbers` each part of the text has: [len(spans), len(numbers)]. spans: ranges of characters."""
        if not len(self.numbers):
            return np.zeros((len(spans), 0), np.bool_)
        bounds = np.array([(start - 1, end + 1) for start, end in spans])
        is_whole = (bounds[:, 0] < 0) & (bounds[:, 1] > self._length)
        bounds[is_whole] = -2, self._length + 2  # a space around the text belongs to it
        inside = (self._starts >= bounds[:, :1]) & (self._ends <= bounds[:, 1:])
        return np.asarray(np.logical_or.reduceat(inside, self._firsts, axis=1))


def _number_words(text: str) -> tuple[Numbers, Numbers, Numbers]:
    """Numbers, starts and ends of the words and of the pairs of words."""
    found = [(match[0], match.start(), match.end()) for match in _WORD.finditer(text)]
    named = [(f"w {word}", start, end) for word, start, end in found]
    named += [(f"p {one} {other}", start, end) for (one, start, _), (other, _, end) in pairwise(found)]
    numbers = [crc32(name.encode("utf-8", "replace")) % NUM_BUCKETS for name, _, _ in named]
    columns = (numbers, [start for _, start, _ in named], [end for _, _, end in named])
    return tuple(np.array(column, np.int64) for column in columns)  # type: ignore[return-value]


def _number_runs(letters: NDArray[np.uint64], length: int) -> Numbers:
    """A hash of each run of `length` letters."""
    count = len(letters) - length + 1
    mixed = np.full(count, np.uint64(length))
    for at in range(length):
        mixed = (mixed ^ letters[at : at + count]) * _MULTIPLIER
        mixed ^= mixed >> _TURN
    return (mixed * _MULTIPLIER >> _SHIFT).astype(np.int64)
