"""Tighten thresholds for a time, and give back sooner."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

import structlog

from mezzotint.actions.safety.controls import SafetyControls
from mezzotint.policy.safety.audit import SafetyChange
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.dial import Tightening, find_tightening_fault

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class TighteningRequest:
    """category: None for all. by: the share taken from thresholds, 0..1."""

    category: SafetyCategory | None
    by: float
    lasts: timedelta


async def tighten(controls: SafetyControls, request: TighteningRequest, change: SafetyChange) -> Tightening | str:
    """Make thresholds stricter in all processes of the database, until the time is over. Returns why not, if it cannot.

    Raises: StorageUnavailable.
    """
    if fault := find_tightening_fault(request.category, request.by, request.lasts):
        return fault
    tightening = Tightening(
        id=f"tgt_{secrets.token_hex(8)}",
        category=request.category,
        by=request.by,
        starts_at=change.at,
        ends_at=change.at + request.lasts,
        author=change.author,
        reason=change.reason,
    )
    if not await controls.overrides.tighten(tightening):
        return "As many tightenings as there may be are in force: end one first."
    await controls.follower.refresh()
    log.info("thresholds tightened", category=request.category or "all", share=request.by, by=change.author)
    return tightening


async def end_tightening(controls: SafetyControls, tightening: str, change: SafetyChange) -> Tightening | None:
    """Give back before the time is over. Returns None when no tightening of that id is in force."""
    ended = await controls.overrides.end_tightening(tightening, change)
    await controls.follower.refresh()
    return ended
