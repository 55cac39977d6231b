"""The parts with which admins change the safety policy."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from mezzotint.actions.safety.overrides import OverridesFollower
from mezzotint.policy.safety.hard_rules import HardRule
from mezzotint.store import Appeals, Overrides, RecentPrompts, Refusals, SafetyAudit, Store

Stops = Callable[[str, str], bool]
"""(prompt, negative prompt) -> whether it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenPrompts:
    """The texts of the golden sets, on which a rule is tried."""

    adversarial: Sequence[str] = ()
    benign: Sequence[str] = ()


class RuleCompiler(Protocol):
    """The hard rules' engine."""

    def compile_rule(self, rule: HardRule) -> Stops:
        """Make the check of one rule. Raises: SettingInvalid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyControls:
    """is_refused: the whole text filter as it is now; called in a thread, as read_golden is, which reads the golden
    sets. trials: held by the one dry run that a process makes at a time.
    """

    overrides: Overrides
    audit: SafetyAudit
    appeals: Appeals
    refusals: Refusals
    recent_prompts: RecentPrompts
    follower: OverridesFollower
    compiler: RuleCompiler
    is_refused: Stops
    read_golden: Callable[[], GoldenPrompts]
    trials: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of_store(
        cls,
        store: Store,
        follower: OverridesFollower,
        *,
        compiler: RuleCompiler,
        is_refused: Stops,
        read_golden: Callable[[], GoldenPrompts],
    ) -> Self:
        return cls(
            overrides=store.overrides,
            audit=store.safety_audit,
            appeals=store.appeals,
            refusals=store.refusals,
            recent_prompts=store.recent_prompts,
            follower=follower,
            compiler=compiler,
            is_refused=is_refused,
            read_golden=read_golden,
        )
