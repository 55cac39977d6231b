"""Rows of the safety audit: who changed which safety decision when, from what to what, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class AuditAction(StrEnum):
    RULE_ADDED = "rule_added"
    RULE_CHANGED = "rule_changed"
    RULE_REMOVED = "rule_removed"
    TIGHTENED = "tightened"
    TIGHTENING_ENDED = "tightening_ended"
    APPEAL_DECIDED = "appeal_decided"
    TAKEN_DOWN = "taken_down"
    TAKEDOWN_UNDONE = "takedown_undone"
    PICTURE_VIEWED = "picture_viewed"
    """An admin looked at a picture that was not delivered."""
    PICTURE_RELEASED = "picture_released"
    PICTURE_DENIED = "picture_denied"
    PROMPTS_SHOWN = "prompts_shown"
    """An admin tried a rule and asked for prompts that it would stop."""


CHANGES_OVERRIDES = frozenset(
    {
        AuditAction.RULE_ADDED,
        AuditAction.RULE_CHANGED,
        AuditAction.RULE_REMOVED,
        AuditAction.TIGHTENED,
        AuditAction.TIGHTENING_ENDED,
    }
)
"""Actions after which every process reads the safety overrides again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyChange:
    """author: who changes something, as `tenant/owner`, or `command:user` for one who has the database."""

    author: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """subject: the id of what was changed. before, after: its fields; None where it did not exist."""

    change: SafetyChange
    action: AuditAction
    subject: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
