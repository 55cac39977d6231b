"""Streams a job's changes and progress as server-sent events.

Every change of state has a number, kept in the database; an event's id is that number, with the step behind a dot for
progress. A watcher that comes back with `Last-Event-ID` gets each later change in order, then the present; one that
comes without begins with the present state. Steps and previews it missed are not repeated: the last one replaces them.
One that knows the end already is answered 204, or `EventSource` would come back every few seconds for ever.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import assert_never

from pydantic import BaseModel

from mezzotint.actions.finish import BackingServices
from mezzotint.domain.change import rewind_job
from mezzotint.domain.event import Changed, JobEvent, Moved, Progressed, Stale
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job, JobState
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.schemas import JobView
from mezzotint.gateway.streams.event_schemas import Loading, Move, Progress
from mezzotint.store import Changes

KEEP_ALIVE_S = 10.0
"""Comment lines keep proxies from closing a quiet stream."""
EVENT_ID = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,5}))?")
AFTER_ALL = 999_999_999
"""The number of a final state whose change is no longer in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPosition:
    """A watcher's position: the last change that it knows (0: none), and the last step after it."""

    number: int = 0
    step: int = -1

    @property
    def id(self) -> str:
        return f"{self.number}.{self.step}" if self.step >= 0 else str(self.number)


def read_last_event_id(last_event_id: str | None) -> StreamPosition | None:
    """The event that a watcher has seen last; None for a new watcher, or for an id that this API never sent."""
    match = EVENT_ID.fullmatch(last_event_id or "")
    return None if match is None else StreamPosition(number=int(match[1]), step=int(match[2] or -1))


async def knows_end(changes: Changes, job: Job, seen: StreamPosition | None) -> bool:
    """Say whether the watcher has seen the event of the job's final state."""
    if seen is None or not job.state.is_final:
        return False
    if seen.number == AFTER_ALL:
        return True
    since = await changes.of_job(job.id, seen.number - 1)
    return [change.number for change in since] == [seen.number]


async def stream_job_events(
    backing: BackingServices, changes: Changes, job_id: JobId, seen: StreamPosition | None
) -> AsyncGenerator[str]:
    """The lines of the stream, to the event of the job's final state."""
    with backing.bus.watch(job_id) as queue:
        known, shown = seen, None
        told: BaseModel | None = None
        while (job := await backing.jobs.get(job_id)) is not None:
            async for name, data, new in _read_updates(backing, changes, job, known, shown):
                known = new
                if data != told:
                    told = data
                    yield format_event(name, data, new.id)
            shown = job.state
            if job.state.is_final:
                return
            known = known or StreamPosition()
            async for item in receive_until_change(queue):
                if item is None or isinstance(item, Moved):
                    yield format_note(item, known.id)
                elif item.loading:  # no step: the id stays that of what came before
                    newest = backing.bus.progress_of(job_id)
                    if newest is not None and newest.loading and told != (data := describe_progress(newest)[1]):
                        told = data
                        yield format_event("loading", data, known.id)
                elif item.step > known.step:  # the last may be told already to a late comer
                    known = StreamPosition(number=known.number, step=item.step)
                    yield format_event(*describe_progress(item), known.id)


async def _read_updates(
    backing: BackingServices, changes: Changes, job: Job, seen: StreamPosition | None, shown: JobState | None
) -> AsyncIterator[tuple[str, BaseModel, StreamPosition]]:
    """The changes that the watcher does not know yet, up to the row that was just read."""
    log = await changes.of_job(job.id, seen.number if seen else 0)
    while log and log[-1].state is not job.state:
        log.pop()  # the log was read after the row, so it can be ahead of it; the rest comes at the next reading
    now = JobView.of(job, await backing.jobs.position(job))
    if log:
        for change in log[:-1] if seen else ():
            yield change.state, JobView.of(rewind_job(job, change)), StreamPosition(number=change.number)
        seen = StreamPosition(number=log[-1].number)
        yield job.state, now, seen
    elif shown is not job.state and (shown is not None or seen is None or job.state.is_final):
        # its log was swept long ago
        seen = StreamPosition(number=AFTER_ALL) if job.state.is_final else seen or StreamPosition()
        yield job.state, now, seen
    latest = backing.bus.progress_of(job.id)
    if latest is not None and job.state is JobState.RUNNING and seen and latest.step > seen.step:
        known = seen if latest.loading else StreamPosition(number=seen.number, step=latest.step)
        yield *describe_progress(latest), known


async def receive_until_change(queue: asyncio.Queue[JobEvent]) -> AsyncIterator[Progressed | Moved | None]:
    """Yield progress and moves, and None after a quiet time; end when the row must be read."""
    heard_at = time.monotonic()
    while True:
        try:
            async with asyncio.timeout(heard_at + KEEP_ALIVE_S - time.monotonic()):
                event = await queue.get()
        except TimeoutError:
            heard_at = time.monotonic()
            yield None
            continue
        match event:
            case Changed() | Stale():
                return
            case Progressed() | Moved():
                heard_at = time.monotonic()
                yield event
            case _ as never:
                assert_never(never)


def describe_progress(event: Progressed) -> tuple[str, BaseModel]:
    """The name and data of a progress event."""
    if event.loading is None:
        return "progress", progress_of(event)
    return "loading", Loading(model=event.loading.model, share=event.loading.share)


def progress_of(event: Progressed) -> Progress:
    return Progress(step=event.step, num_steps=event.num_steps, preview=event.preview)


def format_event(name: str, data: BaseModel, id: str) -> str:
    return f"id: {id}\nevent: {name}\ndata: {data.model_dump_json()}\n\n"


def format_note(moved: Moved | None, id: str) -> str:
    """A move, or a comment that keeps the stream alive."""
    return ": keep-alive\n\n" if moved is None else format_event("moved", Move(reason=moved.reason), id)


def format_error_event(ended: ApiError) -> str:
    """The last event of a stream whose credential ended. It has no id: a new stream goes on after the last change."""
    data = {"error": {"code": ended.code, "message": ended.message, "hint": ended.hint}}
    return f"event: error\ndata: {json.dumps(data)}\n\n"
