"""Hard rules that admins add while the server runs, beside those of the rules file."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mezzotint.policy.safety.categories import SafetyCategory

MAX_RULES = 500
"""Rules in force at once."""
MAX_GROUPS, MAX_TERMS, MAX_TERM = 8, 200, 100
"""Groups of a rule, terms of a group, characters of a term."""
LIST_MARK = "@"
"""A term `@nudity` stands for all terms of the list `nudity` of the rules files."""
MAX_BENIGN_SHARE = 0.002
"""A rule that newly refuses a larger share of the golden set's benign prompts blocks too much: one in 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardRule:
    """Blocks a prompt that has a term of each group in all_of and no term of none_of.

    version: 1, and one more with each change. expires_at: when it lets go by itself; None: never. removed_at: None
    while nobody removed it.
    """

    id: str
    version: int = 1
    category: SafetyCategory
    all_of: tuple[tuple[str, ...], ...]
    none_of: tuple[str, ...] = ()
    author: str
    reason: str
    created_at: datetime
    expires_at: datetime | None = None
    removed_at: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        return self.removed_at is None and (self.expires_at is None or now < self.expires_at)


def find_rule_fault(all_of: Sequence[Sequence[str]], none_of: Sequence[str]) -> str:
    """The reason why a rule of these terms cannot be used; empty: it can."""
    if not all_of or not all(all_of):
        return "Give at least one group of terms, and at least one term in each group."
    if len(all_of) > MAX_GROUPS:
        return f"Use at most {MAX_GROUPS} groups."
    for group in (*all_of, none_of):
        if len(group) > MAX_TERMS:
            return f"Use at most {MAX_TERMS} terms in a group."
        if any(len(term) > MAX_TERM for term in group):
            return f"Use at most {MAX_TERM} characters in a term."
        if any(not any(character.isalnum() for character in term) for term in group):
            return "Each term needs a letter or a digit."
    return ""


def blocks_too_much(num_newly_refused: int, num_benign: int) -> bool:
    """Tell whether a rule that newly refuses so many of the golden set's benign prompts needs to be forced."""
    return num_newly_refused > MAX_BENIGN_SHARE * num_benign
