"""Hold texts against the hard rules that admins add while the server runs."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from mezzotint.policy.safety.hard_rules import LIST_MARK, HardRule
from mezzotint.safety.text.rules import Rules, RulesInvalid
from mezzotint.safety.text.term_index import TermIndex


class RulesInUse:
    """Compiled rules. Safe to use from several threads."""

    def __init__(self, rules: Sequence[HardRule], base: Rules) -> None:
        """base: the rules of the files, whose lists a term `@list` names, and whose harmless phrases count here too.

        Raises: RulesInvalid: a rule names a list that there is not.
        """
        self._rules = tuple(rules)
        lists: dict[str, tuple[str, ...]] = {}
        for rule in rules:
            if missing := find_missing_list(rule, base):
                raise RulesInvalid(f'There is no list "{missing}"; there are {", ".join(sorted(base.lists))}.')
            for name, group in _name_groups(rule):
                lists[name] = tuple(term for entry in group for term in _expand(entry, base))
        self._index = TermIndex(Rules(lists=lists, harmless=base.harmless)) if rules else None

    def find(self, prompt: str, now: datetime) -> HardRule | None:
        """The first rule in force that blocks the prompt."""
        found = self._index.lists_in(prompt) if self._index is not None else frozenset()
        return next((rule for rule in self._rules if rule.is_in_force(now) and _holds(rule, found)), None)


def _name_groups(rule: HardRule) -> Iterator[tuple[str, Sequence[str]]]:
    yield from ((f"{rule.id} {number}", group) for number, group in enumerate(rule.all_of))
    yield f"{rule.id} except", rule.none_of


def _holds(rule: HardRule, found: frozenset[str]) -> bool:
    return bool(found) and all((name in found) == (not name.endswith(" except")) for name, _ in _name_groups(rule))


def find_missing_list(rule: HardRule, base: Rules) -> str | None:
    """The first list that the rule names and the files lack."""
    entries = (entry for _, group in _name_groups(rule) for entry in group if entry.startswith(LIST_MARK))
    names = (entry.removeprefix(LIST_MARK) for entry in entries)
    return next((name for name in names if not base.lists.get(name)), None)


def _expand(entry: str, base: Rules) -> Sequence[str]:
    return base.lists[entry.removeprefix(LIST_MARK)] if entry.startswith(LIST_MARK) else (entry,)
