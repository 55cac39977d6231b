"""Routes of jobs. Each looks the job up by id and owner; a job that the caller may not see is a 404."""

from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from mezzotint.actions.cancel import cancel
from mezzotint.domain.job import Job, JobState
from mezzotint.gateway.auth.ownership import Of, Whose, find_job, list_owners
from mezzotint.gateway.cursor import Cursor, next_cursor
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep, WantedJob
from mezzotint.gateway.idempotency import name_request
from mezzotint.gateway.image_requests import submit_jobs
from mezzotint.gateway.network.path_prefix import link
from mezzotint.gateway.schemas import Accepted, JobPage, JobView, describe_errors
from mezzotint.gateway.service import Service
from mezzotint.gateway.streams.event_stream import EVENT, EventStream
from mezzotint.gateway.streams.job_events import (
    format_error_event,
    knows_end,
    read_last_event_id,
    stream_job_events,
)
from mezzotint.gateway.streams.wait import wait_until_final
from mezzotint.policy.visibility import Access

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=describe_errors(401, 422, 503))

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="go on after this event")]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", description="names this request for 24 hours")]
Id = Annotated[str, Path(description="the job's id", max_length=64)]


async def to_view(service: Service, job: Job) -> JobView:
    position = await service.backing.jobs.position(job)
    return JobView.of(job, position, await service.forecast.wait_s(job, position, service.now()))


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": Accepted, "description": "this request was made before"},
        **describe_errors(400, 403, 404, 409, 413),
    },
)
async def create_job(
    wanted: WantedJob,
    request: Request,
    service: ServiceDep,
    claims: CallerClaims,
    response: Response,
    _key: IdempotencyKey = None,
) -> Accepted:
    """Accept a job, or with choices (`{a, b}`) and `--repeat` several.

    When this answers 202, the jobs are on the disk and will end in a state you can read. 200: they were there already.
    """
    submitted = await submit_jobs(service, claims, wanted, name_request(request, wanted, service, claims.owner))
    response.status_code = 200 if submitted.is_repeated else 202
    response.headers["Location"] = link(f"/v1/jobs/{submitted.jobs[0].id}")
    views = [await to_view(service, job) for job in submitted.jobs]
    return Accepted(**dict(views[0]), jobs=views)


@router.get("", responses=describe_errors(403))
async def list_jobs(
    service: ServiceDep,
    claims: CallerClaims,
    cursor: Cursor,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    of: Of = Whose.MINE,
    state: Annotated[frozenset[JobState], Query(description="only jobs in this state; may be given several times")] = (
        frozenset()
    ),
) -> JobPage:
    """Your jobs, newest first."""
    page = await service.backing.jobs.of_tenant(claims.tenant, limit, cursor, list_owners(claims, of), state)
    views = [await to_view(service, job) for _, job in page]
    return JobPage(jobs=views, next_cursor=next_cursor([seq for seq, _ in page], limit))


@router.get("/{job_id}", responses=describe_errors(404))
async def read_job(
    job_id: Id,
    service: ServiceDep,
    claims: CallerClaims,
    wait: Annotated[float, Query(ge=0, le=60, description="seconds to wait for the end", allow_inf_nan=False)] = 0,
) -> JobView:
    """A job; with `wait`, answers when it ends or when the time is over."""
    job = await find_job(service, claims, job_id)
    if wait and not job.state.is_final:
        async with service.open_stream(claims):
            job = await wait_until_final(service.backing, job, wait)
    return await to_view(service, job)


@router.delete("/{job_id}", responses=describe_errors(403, 404))
async def cancel_job(job_id: Id, service: ServiceDep, claims: CallerClaims) -> JobView:
    """Cancel a job. One that has ended stays as it is."""
    job = await find_job(service, claims, job_id, Access.CHANGE)
    return await to_view(service, await cancel(service.backing, job.id, service.now()) or job)


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": EVENT}},
            "description": "see docs/reference/events.md",
        },
        204: {"description": "the job has ended, and `Last-Event-ID` is its last event"},
        **describe_errors(404),
    },
)
async def watch_job(
    job_id: Id, service: ServiceDep, claims: CallerClaims, last_event_id: LastEventId = None
) -> Response:
    """The job's life as server-sent events: from its present state, or from `Last-Event-ID` on, to its end."""
    job = await find_job(service, claims, job_id)
    seen = read_last_event_id(last_event_id)
    if await knows_end(service.changes, job, seen):
        return Response(status_code=204)
    with ExitStack() as place:
        place.enter_context(service.rate_limits.stream(claims))
        events = stream_job_events(service.backing, service.changes, job.id, seen)
        return EventStream(service, claims, events, place.pop_all(), format_error_event)
