"""Waits for jobs to end. Events wake a waiter; it also reads the row once a second, since an event can be lost."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from mezzotint.actions.finish import BackingServices
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.event import JobEvent, Progressed
from mezzotint.domain.job import Job

POLL_S = 1.0


async def watch_job(backing: BackingServices, job: Job, within_s: float = math.inf) -> AsyncGenerator[Job | Progressed]:
    """Yield the job's row after each change and once a second, and its progress between; end with the final row.

    While the database is away the last known row is repeated. Raises: StorageUnavailable, if it is away when the time
    is over.
    """
    until = time.monotonic() + within_s
    with backing.bus.watch(job.id) as queue:
        while True:
            try:
                job = await backing.jobs.get(job.id) or job
            except StorageUnavailable:
                if time.monotonic() >= until:
                    raise
            yield job
            if job.state.is_final or time.monotonic() >= until:
                return
            read_again_at = min(until, time.monotonic() + POLL_S)
            while isinstance(event := await _receive(queue, read_again_at), Progressed):
                yield event


async def _receive(queue: asyncio.Queue[JobEvent], until: float) -> JobEvent | None:
    """until: of the monotonic clock; None when no event came by then."""
    try:
        async with asyncio.timeout(max(0.0, until - time.monotonic())):
            return await queue.get()
    except TimeoutError:
        return None


async def wait_until_final(backing: BackingServices, job: Job, within_s: float) -> Job:
    """The job's row after its end, or as it is when the time is over. Raises: StorageUnavailable, as `watch_job`."""
    async with aclosing(watch_job(backing, job, within_s)) as news:
        async for item in news:
            job = item if isinstance(item, Job) else job
    return job
