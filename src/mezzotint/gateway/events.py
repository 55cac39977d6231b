"""A job's life as server-sent events.

The first event is the present state, so a watcher that comes back after a break has missed nothing that matters.
Each later one wakes the stream; the row is read again every second in case an event was lost. The stream ends with
the event of a final state.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from pydantic import BaseModel

from mezzotint.actions.finish import Desk
from mezzotint.domain.event import Changed, JobEvent, Progressed
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job
from mezzotint.gateway.shapes import JobView, Progress

POLL_S = 1.0
KEEP_ALIVE_S = 10.0
"""Comment lines keep proxies from closing a quiet stream."""


async def events_of(desk: Desk, job_id: JobId) -> AsyncIterator[str]:
    with desk.bus.watch(job_id) as queue:
        shown: Job | None = None
        heard_at = time.monotonic()
        while True:
            job = await desk.jobs.get(job_id)
            if job is None:
                return
            if shown is None or job.state is not shown.state:
                shown, heard_at = job, time.monotonic()
                yield line(job.state, JobView.of(job, await desk.jobs.position(job)))
            if job.state.is_final:
                return
            async for progress in progress_until_change(queue):
                heard_at = time.monotonic()
                yield line("progress", progress)
            if time.monotonic() - heard_at > KEEP_ALIVE_S:
                heard_at = time.monotonic()
                yield ": keep-alive\n\n"


async def progress_until_change(queue: asyncio.Queue[JobEvent]) -> AsyncIterator[Progress]:
    """Progress as it comes; ends at a change of state or after a second of silence: time to read the row."""
    while True:
        try:
            async with asyncio.timeout(POLL_S):
                event = await queue.get()
        except TimeoutError:
            return
        match event:
            case Changed():
                return
            case Progressed():
                yield Progress(step=event.step, num_steps=event.num_steps, preview=event.preview)


def line(name: str, data: BaseModel) -> str:
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n"
