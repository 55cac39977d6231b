"""Arguments of the safety commands: shares, times, terms."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from getpass import getuser
from typing import Annotated

import typer

from mezzotint.domain.errors import ArgumentInvalid
from mezzotint.policy.safety.audit import SafetyChange
from mezzotint.policy.safety.categories import SafetyCategory

MAX_REASON = 1000
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DURATION = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)([mhd])")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)(%?)")
Reason = Annotated[str, typer.Option(help="Why; the audit keeps it.")]


def parse_duration(text: str) -> timedelta:
    """Read 30m, 24h or 7d. Raises: ArgumentInvalid."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ArgumentInvalid(f"{text[:40]!r} is no time; write 30m, 24h or 7d")
    return float(match[1]) * UNITS[match[2]]


def parse_share(text: str) -> float:
    """Read 10% or 0.1. Raises: ArgumentInvalid."""
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise ArgumentInvalid(f"{text[:40]!r} is no share; write 10% or 0.1")
    return float(match[1]) / (100 if match[2] else 1)


def parse_end(text: str | None, now: datetime) -> datetime | None:
    """Read a time from now (24h) or a date (2026-12-31T18:00+01:00); None stays. Raises: ArgumentInvalid."""
    if text is None:
        return None
    if _DURATION.fullmatch(text.strip()):
        return now + parse_duration(text)
    try:
        end = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ArgumentInvalid(
            f"{text[:40]!r} is no end; write 24h, or a date such as 2026-12-31T18:00+01:00"
        ) from error
    return end if end.tzinfo is not None else end.replace(tzinfo=UTC)


def parse_terms(text: str) -> tuple[str, ...]:
    """Read terms between commas."""
    return tuple(term.strip() for term in text.split(",") if term.strip())


def parse_category(text: str | None) -> SafetyCategory | None:
    """Read a category; None or `all` stands for all. Raises: ArgumentInvalid."""
    if text is None or text == "all":
        return None
    try:
        return SafetyCategory(text)
    except ValueError as error:
        raise ArgumentInvalid(f"{text[:40]!r} is no category; there are {', '.join(SafetyCategory)}") from error


def describe_change(reason: str) -> SafetyChange:
    """A change that whoever runs the command makes now. Raises: ArgumentInvalid."""
    if not 0 < len(reason) <= MAX_REASON:
        raise ArgumentInvalid(f"give a reason of 1 to {MAX_REASON} characters")
    return SafetyChange(author=f"command:{getuser()}", reason=reason, at=datetime.now(UTC))


def join_terms(groups: Sequence[Sequence[str]]) -> str:
    return " + ".join("|".join(group) for group in groups)
