"""`/v1/ws`: the events of all of the caller's jobs over one WebSocket; with `of=tenant` of all of the tenant's.

It begins with the present state of each open job. With `since`, such as the `at` of the last message before a break, it
first replays the changes since then: none is missed, though one may be sent twice. A message is
`{"type": "job" | "progress" | "loading" | "hello" | "keep-alive" | "error", "job_id", "at", "data"}`; an error is the
last before the socket closes. Messages of clients are ignored.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from pydantic import AfterValidator, BaseModel, BeforeValidator
from starlette.websockets import WebSocketState

from mezzotint.domain.change import rewind_job
from mezzotint.domain.claims import Claims, Scope
from mezzotint.domain.event import Changed, Moved, Progressed
from mezzotint.domain.ids import JobId, OwnerId, TenantId
from mezzotint.domain.job import Job
from mezzotint.gateway.auth.authenticate import authenticate, authenticate_bearer, require_scope
from mezzotint.gateway.auth.ownership import Of, Whose, list_owners
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.schemas import JobView
from mezzotint.gateway.service import Service
from mezzotint.gateway.streams.event_schemas import Move
from mezzotint.gateway.streams.job_events import KEEP_ALIVE_S, describe_progress
from mezzotint.store.events.event_bus import Pending

router = APIRouter()
PROTOCOL, BEARER = "mezzotint", "bearer."
MAX_REPLAYED = 1000
YEARS = range(1970, 9000)
ZONE_AFTER_BLANK = re.compile(r"(:\d\d(?:\.\d{1,9})?) (\d\d:?\d\d)\Z")
OVERLAP = timedelta(seconds=2)
"""Clocks of gateways differ a little, and transactions are written later than they begin."""
POLICY = 1008
"""The close code of a socket whose credential ended."""
CLOSE_S = 5.0


class WatchedJobs(NamedTuple):
    """owners: whose jobs of the tenant; None: everybody's."""

    tenant: TenantId
    owners: frozenset[OwnerId] | None


def check_year(since: datetime | None) -> datetime | None:
    """The instant, in UTC if it names no zone. Raises: ValueError at the ends of the calendar."""
    if since is not None and since.year not in YEARS:
        raise ValueError(f"use the years {YEARS.start} to {YEARS.stop - 1}")
    return since if since is None or since.tzinfo else since.replace(tzinfo=UTC)


def restore_plus(since: object) -> object:
    """A time as it was printed: a query string's decoder makes a blank of the plus sign before the zone."""
    return ZONE_AFTER_BLANK.sub(r"\1+\2", since) if isinstance(since, str) else since


Since = Annotated[datetime | None, Query(), BeforeValidator(restore_plus), AfterValidator(check_year)]


@router.websocket("/v1/ws")
async def socket(websocket: WebSocket, since: Since = None, of: Of = Whose.MINE) -> None:
    """Browsers cannot set headers here: they use the cookie, or the subprotocols `mezzotint, bearer.<token>`."""
    service: Service = websocket.app.state.service
    try:
        claims = await authenticate_socket(service, websocket)
        jobs = WatchedJobs(claims.tenant, list_owners(claims, of))
        async with service.open_stream(claims):
            offered = websocket.scope.get("subprotocols", [])
            await websocket.accept(PROTOCOL if PROTOCOL in offered else None)
            with service.backing.bus.watch_all(jobs.tenant, jobs.owners) as pending:
                await run_connection(service, websocket, jobs, pending, since)
    except ApiError as answer:
        with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):  # the other side may be gone, or read no more
            async with asyncio.timeout(CLOSE_S):
                await refuse(service, websocket, answer)


@router.websocket("/{path:path}")
async def refuse_address(websocket: WebSocket, path: str) -> None:
    await websocket.send_denial_response(ApiError("not_found", hint="Sockets are opened at /v1/ws.").response())


async def refuse(service: Service, websocket: WebSocket, answer: ApiError) -> None:
    """Answer as HTTP does before the socket is open; afterwards say why by a last message, and close."""
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.send_denial_response(answer.response())
        return
    data = {"code": answer.code, "message": answer.message, "hint": answer.hint}
    at = service.now().isoformat()
    await websocket.send_json({"type": "error", "job_id": None, "at": at, "data": data})
    await websocket.close(POLICY, answer.code)


async def authenticate_socket(service: Service, websocket: WebSocket) -> Claims:
    """Authenticate as every other route does; a cookie counts only from our own page."""
    await service.rate_limits.count_address(websocket)
    offered = websocket.scope.get("subprotocols", [])
    token = next((one.removeprefix(BEARER) for one in offered if one.startswith(BEARER)), None)
    claims = (
        await authenticate_bearer(service, websocket, token)
        if token
        else await authenticate(service, websocket, is_safe=False)
    )
    await service.rate_limits.count_tenant(websocket, claims)
    return require_scope(claims, Scope.READ)


async def run_connection(
    service: Service, websocket: WebSocket, jobs: WatchedJobs, pending: Pending, since: datetime | None
) -> None:
    """Send the present state and the events until the client disconnects."""
    telling = asyncio.create_task(send_messages(service, websocket, jobs, pending, since), name="tell")
    listening = asyncio.create_task(wait_for_disconnect(websocket), name="listen")
    try:
        done, _ = await asyncio.wait({telling, listening}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None and not isinstance(error, (WebSocketDisconnect, RuntimeError)):
                raise error
    finally:
        for task in (telling, listening):
            task.cancel()
        await asyncio.gather(telling, listening, return_exceptions=True)


async def wait_for_disconnect(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def send_messages(
    service: Service, websocket: WebSocket, jobs: WatchedJobs, pending: Pending, since: datetime | None
) -> None:
    await websocket.send_json(format_signal("hello", service.now()))
    async for message in read_missed(service, jobs, since):
        await websocket.send_json(message)
    for job in await service.backing.jobs.open_of(jobs.tenant, jobs.owners):
        service.backing.bus.own(job)
        await websocket.send_json(format_job_message(job, service.now()))
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                job_id, event = await pending.get()
        except TimeoutError:
            await websocket.send_json(format_signal("keep-alive", service.now()))
            continue
        match event:
            case Changed():
                await websocket.send_json(format_job_message(event.job, service.now()))
            case Progressed():
                await websocket.send_json(format_event_message(job_id, *describe_progress(event), service.now()))
            case Moved():
                move = Move(reason=event.reason)
                await websocket.send_json(format_event_message(job_id, "moved", move, service.now()))


async def read_missed(service: Service, watched: WatchedJobs, since: datetime | None) -> AsyncIterator[dict[str, Any]]:
    """The changes since an instant, oldest first; each job's last change as it is now."""
    if since is None:
        return
    changed = await service.changes.since(watched.tenant, since - OVERLAP, MAX_REPLAYED, watched.owners)
    last = {job_id: change.number for job_id, change in changed}
    jobs: dict[JobId, Job] = {}
    for job_id, change in changed:
        job = jobs.get(job_id) or await service.backing.jobs.get(job_id)
        if job is not None:
            jobs[job_id] = job
            is_present = change.number == last[job_id] and change.state is job.state
            yield format_job_message(job if is_present else rewind_job(job, change), change.at)


def format_signal(kind: str, at: datetime) -> dict[str, Any]:
    """A message about no job."""
    return {"type": kind, "job_id": None, "at": at.isoformat(), "data": None}


def format_event_message(job: JobId, kind: str, data: BaseModel, at: datetime) -> dict[str, Any]:
    return {"type": kind, "job_id": job, "at": at.isoformat(), "data": data.model_dump(mode="json")}


def format_job_message(job: Job, at: datetime) -> dict[str, Any]:
    view = JobView.of(job).model_dump(mode="json")
    return {"type": "job", "job_id": job.id, "at": at.isoformat(), "data": view}
