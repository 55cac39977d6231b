"""The parts with which admins change the safety policy."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mezzotint.actions.safety.overrides import OverridesFollower
from mezzotint.policy.safety.hard_rules import HardRule
from mezzotint.store import Appeals, Overrides, RecentPrompts, Refusals, SafetyAudit

Stops = Callable[[str, str], bool]
"""(prompt, negative prompt) -> whether it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenPrompts:
    """The texts of the golden sets, on which a rule is tried."""

    adversarial: Sequence[str] = ()
    benign: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyControls:
    """compile_rule: makes the check of one rule. Raises: RulesInvalid. is_refused: the whole text filter as it is now.
    read_golden: reads the golden sets; called in a thread. trials: held by the one dry run that a process makes at a
    time.
    """

    overrides: Overrides
    audit: SafetyAudit
    appeals: Appeals
    refusals: Refusals
    recent_prompts: RecentPrompts
    follower: OverridesFollower
    compile_rule: Callable[[HardRule], Stops]
    is_refused: Stops
    read_golden: Callable[[], GoldenPrompts]
    trials: asyncio.Lock = field(default_factory=asyncio.Lock)
