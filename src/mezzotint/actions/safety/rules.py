"""Add, try, date and remove hard rules while the server runs."""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import structlog

from mezzotint.actions.safety.controls import SafetyControls, Stops
from mezzotint.domain.errors import SettingInvalid
from mezzotint.policy.safety.audit import AuditAction, AuditEntry, SafetyChange
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.hard_rules import HardRule, blocks_too_much, find_rule_fault
from mezzotint.store import PromptPair

NUM_RECENT = 10_000
"""Prompts on which a rule is tried."""
NUM_JUDGED = 500
"""Stopped prompts that the whole filter judges, the newest: it takes milliseconds for each."""
NUM_SHOWN = 20
"""Texts that a trial shows of each kind."""
PAST = "Give it an end that is still to come, or none."
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDraft:
    """A rule as an admin writes it. expires_at: when it lets go by itself; None: never."""

    category: SafetyCategory
    all_of: tuple[tuple[str, ...], ...]
    none_of: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrial:
    """The effect that a rule would have. "Newly": that no filter refuses without it.

    num_recent: prompts of the newest jobs and kept refusals that it was tried on. num_newly_stopped: among the newest
    `NUM_JUDGED` that it stops. stopped_prompts, refused_benign: the
    first of those texts.
    """

    num_recent: int
    num_stopped: int
    num_newly_stopped: int
    num_adversarial: int
    num_newly_caught: int
    num_benign: int
    num_newly_refused: int
    stopped_prompts: Sequence[str]
    refused_benign: Sequence[str]

    @property
    def blocks_too_much(self) -> bool:
        return blocks_too_much(self.num_newly_refused, self.num_benign)


class RuleFault(StrEnum):
    INVALID = "rule_invalid"
    BLOCKS_TOO_MUCH = "rule_blocks_too_much"
    TOO_MANY = "too_many_rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRejected:
    """hint: what to do about it."""

    fault: RuleFault
    hint: str
    trial: RuleTrial | None = None


async def try_rule(
    controls: SafetyControls, draft: RuleDraft, change: SafetyChange, *, shows_prompts: bool = False
) -> RuleTrial | RuleRejected:
    """Count what a rule would stop, and change nothing. shows_prompts: with some of the texts; the audit tells of it.

    Raises: StorageUnavailable.
    """
    made = _make_rule(controls, draft, change)
    if isinstance(made, RuleRejected):
        return made
    trial = await _try(controls, made[1])
    if not shows_prompts:
        return replace(trial, stopped_prompts=())
    await controls.audit.add(
        AuditEntry(
            change=change,
            action=AuditAction.PROMPTS_SHOWN,
            subject="",
            before=None,
            after={"all_of": draft.all_of, "none_of": draft.none_of, "num_shown": len(trial.stopped_prompts)},
        )
    )
    return trial


async def add_rule(
    controls: SafetyControls, draft: RuleDraft, change: SafetyChange, *, is_forced: bool = False
) -> tuple[HardRule, RuleTrial] | RuleRejected:
    """Put a rule into force in all processes of the database. is_forced: even if it blocks too much.

    Raises: StorageUnavailable.
    """
    made = _make_rule(controls, draft, change)
    if isinstance(made, RuleRejected):
        return made
    rule, stops = made
    trial = await _try(controls, stops)
    if trial.blocks_too_much and not is_forced:
        hint = (
            f"It newly refuses {trial.num_newly_refused} of the golden set's {trial.num_benign} benign prompts: give "
            "it more terms that must come together, or exceptions; `force` adds it all the same."
        )
        return RuleRejected(fault=RuleFault.BLOCKS_TOO_MUCH, hint=hint, trial=trial)
    if not await controls.overrides.add_rule(rule):
        return RuleRejected(fault=RuleFault.TOO_MANY, hint="Remove rules that are no longer needed.")
    await controls.follower.refresh()
    log.info("hard rule added", rule=rule.id, category=rule.category, by=change.author, is_forced=is_forced)
    return rule, replace(trial, stopped_prompts=())


async def date_rule(
    controls: SafetyControls, rule: str, expires_at: datetime | None, change: SafetyChange
) -> HardRule | RuleRejected | None:
    """Give a rule in force another end; None: no end. Returns None when no rule of that id is in force."""
    if expires_at is not None and expires_at <= change.at:
        return RuleRejected(fault=RuleFault.INVALID, hint=PAST)
    changed = await controls.overrides.date_rule(rule, expires_at, change)
    await controls.follower.refresh()
    return changed


async def remove_rule(controls: SafetyControls, rule: str, change: SafetyChange) -> HardRule | None:
    """Returns None when no rule of that id is in force."""
    removed = await controls.overrides.remove_rule(rule, change)
    await controls.follower.refresh()
    return removed


def _make_rule(
    controls: SafetyControls, draft: RuleDraft, change: SafetyChange
) -> tuple[HardRule, Stops] | RuleRejected:
    fault = find_rule_fault(draft.all_of, draft.none_of)
    if not fault and draft.expires_at is not None and draft.expires_at <= change.at:
        fault = PAST
    if fault:
        return RuleRejected(fault=RuleFault.INVALID, hint=fault)
    rule = HardRule(
        id=f"rule_{secrets.token_hex(8)}",
        category=draft.category,
        all_of=draft.all_of,
        none_of=draft.none_of,
        author=change.author,
        reason=change.reason,
        created_at=change.at,
        expires_at=draft.expires_at,
    )
    try:
        return rule, controls.compiler.compile_rule(rule)
    except SettingInvalid as error:
        return RuleRejected(fault=RuleFault.INVALID, hint=str(error))


async def _try(controls: SafetyControls, stops: Stops) -> RuleTrial:
    async with controls.trials:
        recent = await controls.recent_prompts.newest(NUM_RECENT)
        return await asyncio.to_thread(_count, controls, stops, recent)


def _count(controls: SafetyControls, stops: Stops, recent: Sequence[PromptPair]) -> RuleTrial:
    golden = controls.read_golden()
    stopped = [pair for pair in recent if stops(*pair)]
    caught = _find_new(controls, stops, golden.adversarial)
    refused = _find_new(controls, stops, golden.benign)
    return RuleTrial(
        num_recent=len(recent),
        num_stopped=len(stopped),
        num_newly_stopped=sum(not controls.is_refused(*pair) for pair in stopped[:NUM_JUDGED]),
        num_adversarial=len(golden.adversarial),
        num_newly_caught=len(caught),
        num_benign=len(golden.benign),
        num_newly_refused=len(refused),
        stopped_prompts=[pair.prompt for pair in stopped[:NUM_SHOWN]],
        refused_benign=refused[:NUM_SHOWN],
    )


def _find_new(controls: SafetyControls, stops: Stops, texts: Iterable[str]) -> list[str]:
    """The texts that the rule stops and nothing else does."""
    return [text for text in texts if stops(text, "") and not controls.is_refused(text, "")]
