"""Rows beyond the retention's bounds are deleted while a gateway runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import structlog

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.store import RetentionSweep

SWEEP_S = 600.0
log = structlog.get_logger()


@asynccontextmanager
async def enforcing_retention(rows: RetentionSweep, now: Callable[[], datetime]) -> AsyncIterator[None]:
    """Sweep at once and then every ten minutes, until the context ends."""

    async def sweep() -> None:
        while True:
            try:
                if num_gone := await rows.sweep(now()):
                    log.info("rows beyond their retention deleted", rows=num_gone)
            except StorageUnavailable as error:
                log.warning("retention not enforced", why=str(error))
            await asyncio.sleep(SWEEP_S)

    task = asyncio.create_task(sweep(), name="retention")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
