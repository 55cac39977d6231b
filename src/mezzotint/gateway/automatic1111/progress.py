"""Progress and interruption of the AUTOMATIC1111 API.

The original serves one person. Here callers see and stop only their own jobs, requested by this API at this gateway.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request

from mezzotint.actions.cancel import cancel
from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import JobId, OwnerId, TenantId
from mezzotint.domain.job import Job, JobState
from mezzotint.gateway.automatic1111.auth import BasicCallerClaims
from mezzotint.gateway.automatic1111.errors import SdapiRoute
from mezzotint.gateway.automatic1111.schemas import ProgressState, SdProgress, describe_sdapi_errors
from mezzotint.gateway.dependencies import ServiceDep
from mezzotint.media import convert_picture

router = APIRouter(
    prefix="/sdapi/v1",
    tags=["automatic1111"],
    route_class=SdapiRoute,
    responses=describe_sdapi_errors(401, 403, 422, 503),
)


@dataclass(slots=True)
class WaitingJobs:
    """The jobs whose requests wait at this gateway, by tenant and owner."""

    _jobs: dict[tuple[TenantId, OwnerId], dict[JobId, None]] = field(default_factory=dict)

    @contextmanager
    def track(self, claims: Claims, jobs: Sequence[Job]) -> Iterator[None]:
        whose = (claims.tenant, claims.owner)
        mine = self._jobs.setdefault(whose, {})
        mine.update(dict.fromkeys(job.id for job in jobs))
        try:
            yield
        finally:
            for job in jobs:
                mine.pop(job.id, None)
            if not mine:
                self._jobs.pop(whose, None)

    def of(self, claims: Claims) -> list[JobId]:
        return list(self._jobs.get((claims.tenant, claims.owner), ()))


def get_waiting_jobs(request: Request) -> WaitingJobs:
    known: WaitingJobs = request.app.state.waiting_jobs
    return known


@router.get("/progress")
async def read_progress(
    request: Request,
    service: ServiceDep,
    claims: BasicCallerClaims,
    skip_current_image: Annotated[bool, Query(description="leave out the picture so far")] = False,
) -> SdProgress:
    """The progress of your pictures, all together; 0 when there are none under way."""
    ids = get_waiting_jobs(request).of(claims)
    rows = [job for id in ids if (job := await service.backing.jobs.get(id))]
    seen = {job.id: service.backing.bus.progress_of(job.id) for job in rows}  # read once: step and picture agree
    jobs = [  # rows are written less often than progress is published
        replace(job, step=max(job.step, news.step)) if job.state is JobState.RUNNING and (news := seen[job.id]) else job
        for job in rows
    ]
    wanted = sum(job.parameters.num_sampled for job in jobs)
    done = sum(job.parameters.num_sampled if job.state.is_final else job.step for job in jobs)
    running = next((job for job in jobs if job.state is JobState.RUNNING), None)
    state = ProgressState(
        job="" if running is None else running.id,
        job_count=sum(not job.state.is_final for job in jobs),
        job_timestamp=service.now().strftime("%Y%m%d%H%M%S"),
        job_no=sum(job.state.is_final for job in jobs),
        sampling_step=0 if running is None else running.step,
        sampling_steps=0 if running is None else running.parameters.num_sampled,
    )
    heard = None if running is None or skip_current_image else seen[running.id]
    image = None
    if heard is not None and heard.preview is not None:
        data = b64decode(heard.preview.partition(",")[2])
        image = b64encode(await asyncio.to_thread(convert_picture, data, "png")).decode("ascii")
    left_s = 0.0  # until the running picture ends, by its pace so far
    if running is not None and running.started_at is not None and running.step:
        spent_s = max((service.now() - running.started_at).total_seconds(), 0.0)
        left_s = spent_s * (running.parameters.num_sampled - running.step) / running.step
    return SdProgress(
        progress=done / wanted if wanted else 0.0,
        eta_relative=left_s,
        state=state,
        current_image=image,
    )


@router.post("/interrupt")
async def interrupt_jobs(request: Request, service: ServiceDep, claims: BasicCallerClaims) -> dict[str, str]:
    """Cancel your pictures under way; what is finished is kept and answered."""
    for id in get_waiting_jobs(request).of(claims):
        await cancel(service.backing, id, service.now())
    return {}


@router.post("/skip")
async def skip_job(request: Request, service: ServiceDep, claims: BasicCallerClaims) -> None:
    """Cancel the picture of yours that is being drawn, or the next of those that wait; the others go on."""
    ids = get_waiting_jobs(request).of(claims)
    jobs = [job for id in ids if (job := await service.backing.jobs.get(id)) and not job.state.is_final]
    if jobs:
        first = next((job for job in jobs if job.state is JobState.RUNNING), jobs[0])
        await cancel(service.backing, first.id, service.now())
