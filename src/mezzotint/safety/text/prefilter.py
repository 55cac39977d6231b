"""Hard rules over the text of a request, before any work is done for it.

Every reading of the text (see `folding`) is searched for all terms at once; terms count as whole words only, so that
towns, birds and professions keep their names. A term inside a harmless phrase does not count. What was found, as a
set of list names, is then held against the rules.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import structlog
from ahocorasick_rs import AhoCorasick

from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.safety.text.folding import fold, list_readings, space_words
from mezzotint.safety.text.rules import Rules, RulesInvalid, load_rules

log = structlog.get_logger()

_MIN_INSIDE = 4  # letters of a term that is looked for inside spelt-out text, where word boundaries are lost
_NUM_REMEMBERED = 128
"""Texts: the choices of a request share a negative prompt, and a refused request is often sent again."""
_HARMLESS = ""


class _Index:
    """The terms of the rules, searched together."""

    def __init__(self, rules: Rules) -> None:
        terms = [(space_words(fold(term)), name) for term, name in rules.terms()]
        terms += [(space_words(fold(phrase)), _HARMLESS) for phrase in rules.harmless_phrases()]
        words = [(term, name) for term, name in terms if term.strip()]
        inside = [(term.replace(" ", ""), name) for term, name in words if name != _HARMLESS]
        inside = [(term, name) for term, name in inside if len(term) >= _MIN_INSIDE]
        self._word_lists = [name for _, name in words]
        self._inside_lists = [name for _, name in inside]
        self._words = AhoCorasick([term for term, _ in words])
        self._inside = AhoCorasick([term for term, _ in inside])
        self.lists_in = lru_cache(_NUM_REMEMBERED)(self._lists_in)

    def _lists_in(self, text: str) -> frozenset[str]:
        """Names of the lists of which the text has a term."""
        readings = list_readings(text)
        found = {name for worded in readings.worded for name in self._in_words(worded)}
        for run in readings.spelt_out:
            found.update(self._inside_lists[at] for at, _, _ in self._inside.find_matches_as_indexes(run, True))
        return frozenset(found)

    def _in_words(self, worded: str) -> set[str]:
        matches = [
            (self._word_lists[at], start, end)
            for at, start, end in self._words.find_matches_as_indexes(worded, overlapping=True)
        ]
        harmless = sorted((start, end) for name, start, end in matches if name == _HARMLESS)
        starts = [start for start, _ in harmless]
        reaches = list(accumulate((end for _, end in harmless), max))
        return {
            name for name, start, end in matches if name != _HARMLESS and not _is_within(start, end, starts, reaches)
        }


def _is_within(start: int, end: int, starts: Sequence[int], reaches: Sequence[int]) -> bool:
    """Whether one span holds the other. starts: of the spans, sorted. reaches: the furthest end up to each of them."""
    at = bisect_right(starts, start)
    return at > 0 and end <= reaches[at - 1]


@dataclass(frozen=True, slots=True)
class _LoadedRules:
    """Rules ready for use, and the state of their file when they were read."""

    rules: Rules
    index: _Index
    stamp: tuple[int, int] | None


class PreFilter:
    """Blocks requests by rule. Safe to use from several threads."""

    def __init__(self, path: Path | None, loaded: _LoadedRules) -> None:
        self._path = path
        self._loaded = loaded

    @classmethod
    def load(cls, path: Path | None = None) -> "PreFilter":
        """With the built-in rules and those of the file, which may be changed while this runs.

        Raises: RulesInvalid.
        """
        return cls(path, _load(path, _read_stamp(path)))

    def check(self, prompt: str, negative_prompt: str = "") -> Refusal | None:
        """Refuse what a rule blocks; the refusal names the category, never the word."""
        self._reload_if_changed()
        loaded = self._loaded
        found = loaded.index.lists_in(prompt)
        if not found:
            return None
        avoided = loaded.index.lists_in(negative_prompt)
        for rule in loaded.rules.rules:
            if found.issuperset(rule.all_of) and found.isdisjoint(rule.none_of) and avoided.issuperset(rule.negative):
                category = loaded.rules.categories[rule.category]
                message = f"The prompt looks like a request for {category.about}; such pictures are not made here."
                return refuse(RefusalCode.PROMPT_BLOCKED, message, category.hint, "prompt")
        return None

    def _reload_if_changed(self) -> None:
        stamp = _read_stamp(self._path)
        if stamp == self._loaded.stamp:
            return
        try:
            self._loaded = _load(self._path, stamp)
            log.info("rules_reloaded", path=str(self._path), num_rules=len(self._loaded.rules.rules))
        except RulesInvalid as error:
            # The last good rules stay in force: a slip of the pen must neither open the gate nor close it.
            self._loaded = _LoadedRules(self._loaded.rules, self._loaded.index, stamp)
            log.error("rules_not_reloaded", reason=str(error), hint=error.hint)


def _read_stamp(path: Path | None) -> tuple[int, int] | None:
    """Modification time and size of the file; None when there is none."""
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size) if stat else None


def _load(path: Path | None, stamp: tuple[int, int] | None) -> _LoadedRules:
    # The stamp was taken before the file is read: a write in between is seen as a change by the next check.
    rules = load_rules(path)
    return _LoadedRules(rules, _Index(rules), stamp)
