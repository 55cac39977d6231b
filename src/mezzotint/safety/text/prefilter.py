"""Hard rules over the text of a request, before any work is done for it.

Every reading of the text (see `folding`) is searched for all terms at once; terms count as whole words only, so that
towns, birds and professions keep their names. A term inside a harmless phrase does not count. What was found, as a
set of list names, is then held against the rules.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from mezzotint.policy.safety.hard_rules import HardRule
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.safety.text.decodings import list_decoded
from mezzotint.safety.text.readings import list_restored, prepare_text
from mezzotint.safety.text.rules import Rules, RulesInvalid, load_rules
from mezzotint.safety.text.rules_in_use import RulesInUse, find_missing_list
from mezzotint.safety.text.term_index import TermIndex

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMatch:
    """A rule that blocks a prompt. category: its id. rule: id of a rule in use; empty: of a file. about, hint: as
    `Category` has them.
    """

    category: str
    rule: str = ""
    about: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class _LoadedRules:
    """Rules ready for use, and the state of their file when they were read."""

    rules: Rules
    index: TermIndex
    stamp: tuple[int, int] | None


class PreFilter:
    """Blocks requests by rule. Safe to use from several threads."""

    def __init__(self, path: Path | None, loaded: _LoadedRules, overrides: Callable[[], SafetyOverrides]) -> None:
        self._path = path
        self._loaded = loaded
        self._overrides = overrides
        self._in_use = _CompiledOverrides(NO_OVERRIDES, loaded.rules, RulesInUse((), loaded.rules))

    @classmethod
    def load(
        cls, path: Path | None = None, overrides: Callable[[], SafetyOverrides] = lambda: NO_OVERRIDES
    ) -> "PreFilter":
        """With the built-in rules, those of the file, and those in `overrides`; both may change while this runs.

        Raises: RulesInvalid.
        """
        return cls(path, _load(path, _read_stamp(path)), overrides)

    @property
    def version(self) -> str:
        """Names the rules in force."""
        return self._loaded.rules.version

    def find_rule(self, prompt: str, negative_prompt: str = "") -> RuleMatch | None:
        """Find the first rule that blocks the prompt, or what an encoding hides in it."""
        self._reload_if_changed()
        for text in (prompt, *list_decoded(prompt), *list_restored(prepare_text(prompt))):
            if (match := self._find_in(text, negative_prompt)) is not None:
                return match
        return None

    def _find_in(self, prompt: str, negative_prompt: str) -> RuleMatch | None:
        loaded, in_use = self._loaded, self._compile_overrides()
        found = loaded.index.lists_in(prompt)
        avoided = loaded.index.lists_in(negative_prompt) if found else frozenset()
        for rule in loaded.rules.rules:
            if found.issuperset(rule.all_of) and found.isdisjoint(rule.none_of) and avoided.issuperset(rule.negative):
                return _describe(loaded.rules, RuleMatch(category=rule.category))
        held = in_use.rules.find(prompt, datetime.now(UTC))
        if held is None:
            return None
        return _describe(loaded.rules, RuleMatch(category=held.category, rule=held.id))

    def compile_rule(self, rule: HardRule) -> Callable[[str, str], bool]:
        """Make the check of one rule: (prompt, negative prompt) -> whether it blocks. Raises: RulesInvalid."""
        compiled = RulesInUse([rule], self._loaded.rules)
        return lambda prompt, negative_prompt: compiled.find(prompt, rule.created_at) is not None

    def _compile_overrides(self) -> "_CompiledOverrides":
        overrides, base = self._overrides(), self._loaded.rules
        compiled = self._in_use
        if compiled.overrides is not overrides or compiled.base is not base:
            usable = [rule for rule in overrides.rules if _is_usable(rule, base)]
            self._in_use = compiled = _CompiledOverrides(overrides, base, RulesInUse(usable, base))
        return compiled

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


@dataclass(frozen=True, slots=True)
class _CompiledOverrides:
    """base: the rules of the files that they were compiled with."""

    overrides: SafetyOverrides
    base: Rules
    rules: RulesInUse


def _describe(rules: Rules, match: RuleMatch) -> RuleMatch:
    category = rules.categories[match.category]
    return replace(match, about=category.about, hint=category.hint)


def _is_usable(rule: HardRule, base: Rules) -> bool:
    """Say whether the rule's lists are there still: the operator's file may have lost one since the rule was added."""
    missing = find_missing_list(rule, base)
    if missing is not None:
        log.error("hard_rule_not_used", rule=rule.id, missing_list=missing)
    return missing is None


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
    return _LoadedRules(rules, TermIndex(rules), stamp)
