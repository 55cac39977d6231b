"""Waiting for a job's end. Notification wakes, polling guarantees: the row is read at least once a second."""

import asyncio
import time

from mezzotint.actions.finish import Desk
from mezzotint.domain.job import Job

POLL_S = 1.0


async def ended(desk: Desk, job: Job, within_s: float) -> Job:
    """The job's row after its end, or as it is when the time is over."""
    until = time.monotonic() + within_s
    with desk.bus.watch(job.id) as queue:
        while True:
            job = await desk.jobs.get(job.id) or job
            left = until - time.monotonic()
            if job.state.is_final or left <= 0:
                return job
            try:
                async with asyncio.timeout(min(left, POLL_S)):
                    await queue.get()
            except TimeoutError:
                continue
