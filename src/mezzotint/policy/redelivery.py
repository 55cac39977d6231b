"""Choose the delay before a failed webhook delivery is retried."""

from datetime import timedelta

WAITS = tuple(timedelta(seconds=wait_s) for wait_s in (5, 30, 120, 600, 3600, 6 * 3600, 12 * 3600))
"""Some 19 hours in all: a receiver may be away for a night."""


def choose_delay(attempts: int) -> timedelta | None:
    """The delay after so many failed attempts; None to give up."""
    return WAITS[attempts - 1] if attempts <= len(WAITS) else None


def is_accepted(status: int) -> bool:
    return 200 <= status < 300


def is_gone(status: int) -> bool:
    """The receiver says that it will never take another."""
    return status == 410
