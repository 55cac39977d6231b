"""Rows beyond the retention's bounds are deleted while a gateway runs."""

from datetime import datetime

import structlog

from mezzotint.store import RetentionSweep

SWEEP_S = 600.0
log = structlog.get_logger()


async def enforce_retention(rows: RetentionSweep, now: datetime) -> None:
    """Raises: StorageUnavailable."""
    if num_gone := await rows.sweep(now):
        log.info("rows beyond their retention deleted", rows=num_gone)
