"""Arguments of the commands that select pictures."""

import re
from datetime import UTC, datetime, timedelta
from getpass import getuser

from mezzotint.domain.errors import ArgumentInvalid

AGO = re.compile(r"(\d{1,5})([mhd])")
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def parse_instant(text: str | None, now: datetime) -> datetime | None:
    """Read a time ago (30m, 24h, 7d) or a date (2026-11-28, 2026-11-28T18:00+01:00; UTC where it does not say).

    Raises: ArgumentInvalid.
    """
    if text is None:
        return None
    if match := AGO.fullmatch(text.strip()):
        return now - int(match[1]) * UNITS[match[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        hint = "write 24h or 7d for so long ago, or a date such as 2026-11-28T18:00+01:00"
        raise ArgumentInvalid(f"{text[:40]!r} is no time; {hint}") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def name_author() -> str:
    """The person who runs the command, as the safety audit writes it."""
    return f"command:{getuser()}"
