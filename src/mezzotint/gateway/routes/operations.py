"""Routes of operators over the queue: dead letters, the lanes' weights, workers. All need the scope `admin`."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.actions.drain import set_drained
from mezzotint.actions.requeue import retry_failed
from mezzotint.domain.fleet.health import HealthVerdict
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.gateway.dependencies import AdminClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.routes.admin import AdminJob, Id, find_job, to_admin_view
from mezzotint.gateway.schemas import describe_errors
from mezzotint.gateway.service import Service
from mezzotint.policy.fair_queue.lane_weights import bounds
from mezzotint.store import WorkerState, WorkerStatus

log = structlog.get_logger()
router = APIRouter(prefix="/v1/admin", tags=["admin"], responses=describe_errors(401, 403, 422, 503))


class LaneView(BaseModel):
    lane: Tier
    weight: float = Field(description="now: the base, moved by traffic up to one and a half times")
    base: float
    least: float = Field(description="the least base that may be set")
    greatest: float


class LaneList(BaseModel):
    lanes: list[LaneView]


class LaneChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    base: float | None = Field(description="null: the lane's own", allow_inf_nan=False)


class WorkerView(BaseModel):
    id: str
    seen_at: datetime
    num_running: int
    is_drained: bool = Field(description="whether it is wanted to take no jobs")
    state: WorkerState = Field(description="drained: it takes no jobs and holds none; draining: it still holds some")
    pool: str = Field(description="label; empty: none")
    region: str = Field(description="label; empty: none")
    version: str
    models: list[str] | None = Field(description="those it takes jobs of; null: any")
    lanes: list[Tier]
    tenants: list[str] | None = Field(description="the only ones it takes jobs of; null: all")
    max_runs: int
    drain_wanted_at: datetime | None = Field(description="since when it is to end; null: it is to stay")
    drain_reason: str
    device: str = Field(description="its identity, which outlives the process; empty: its health is not judged")
    health: HealthVerdict = Field(description="quarantined: nothing uses the device; probation: it is watched")
    health_reason: str

    @classmethod
    def of(cls, status: WorkerStatus) -> "WorkerView":
        labels = status.labels
        return cls(
            id=status.id,
            seen_at=status.seen_at,
            num_running=status.num_running,
            is_drained=status.is_drained,
            state=status.state,
            pool=labels.pool,
            region=labels.region,
            version=labels.version,
            models=None if labels.models is None else sorted(labels.models),
            lanes=sorted(labels.lanes),
            tenants=None if labels.tenants is None else sorted(labels.tenants),
            max_runs=labels.max_runs,
            drain_wanted_at=status.drain_wanted_at,
            drain_reason=status.drain_reason,
            device=status.device,
            health=status.health,
            health_reason=status.health_reason,
        )


class WorkerList(BaseModel):
    workers: list[WorkerView]


class WorkerChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    is_drained: bool = Field(description="true: it puts its runs aside with checkpoints and takes no more")


class NamedWorkerChange(WorkerChange):
    ends: bool = Field(False, description="with `is_drained`: its process ends, too, once its runs are handed back")


@router.post("/jobs/{job_id}/retry", responses=describe_errors(404, 409))
async def retry_job(job_id: Id, service: ServiceDep, admin: AdminClaims) -> AdminJob:
    """Put a dead letter (`GET /v1/admin/jobs?state=failed`) back into the queue, as if new."""
    job = await find_job(service, job_id)
    if not await retry_failed(service.backing, job.id, service.now()):
        raise ApiError("job_not_failed", hint="Only failed jobs can be retried.")
    log.info("dead letter retried", job=job.id, by=admin.tenant)
    return to_admin_view(await find_job(service, job_id))


@router.get("/lanes")
async def list_lanes(service: ServiceDep, admin: AdminClaims) -> LaneList:
    """The weights by which lanes share the machine."""
    return await read_lanes(service)


@router.put("/lanes/{lane}", responses=describe_errors(400, 413))
async def change_lane(lane: Tier, body: LaneChange, service: ServiceDep, admin: AdminClaims) -> LaneList:
    """Give a lane another base weight, within its bounds; it lasts until the next change."""
    least, greatest = bounds(lane)
    if body.base is not None and not least <= body.base <= greatest:
        hint = f"Use {least:g} to {greatest:g}, or null for the lane's own."
        raise ApiError("weight_invalid", hint=hint, param="base")
    await service.backing.jobs.lanes.set_base(lane, body.base)
    log.info("lane weight set", lane=lane, base=body.base, by=admin.tenant)
    return await read_lanes(service)


@router.get("/workers")
async def list_workers(service: ServiceDep, admin: AdminClaims) -> WorkerList:
    """The workers, and how many jobs each runs."""
    return await read_workers(service)


@router.patch("/workers", responses=describe_errors(400, 413))
async def change_workers(body: WorkerChange, service: ServiceDep, admin: AdminClaims) -> WorkerList:
    """Drain every worker, also those that start later, or let all take jobs again."""
    await set_drained(service.workers, service.backing.bus, None, service.now(), is_drained=body.is_drained)
    log.info("all workers told", is_drained=body.is_drained, by=admin.tenant)
    return await read_workers(service)


@router.patch("/workers/{worker_id}", responses=describe_errors(400, 404, 413))
async def change_worker(
    worker_id: Annotated[str, Path(max_length=64, description="the worker's id")],
    body: NamedWorkerChange,
    service: ServiceDep,
    admin: AdminClaims,
) -> WorkerList:
    """Drain one worker, or let it take jobs again."""
    ids, now = [WorkerId(worker_id)], service.now()
    bus, ends = service.backing.bus, body.ends
    if await set_drained(service.workers, bus, ids, now, is_drained=body.is_drained, ends=ends):
        hint = "GET /v1/admin/workers lists them."
        raise ApiError("worker_not_found", hint=hint)
    log.info("worker told", worker=worker_id, is_drained=body.is_drained, ends=ends, by=admin.tenant)
    return await read_workers(service)


async def read_workers(service: Service) -> WorkerList:
    found = await service.workers.all(service.now())
    return WorkerList(workers=[WorkerView.of(one) for one in found])


async def read_lanes(service: Service) -> LaneList:
    found = await service.backing.jobs.lanes.read()
    lanes = []
    for lane in Tier:
        least, greatest = bounds(lane)
        weight, base = found.weights[lane], found.bases[lane]
        lanes.append(LaneView(lane=lane, weight=weight, base=base, least=least, greatest=greatest))
    return LaneList(lanes=lanes)
