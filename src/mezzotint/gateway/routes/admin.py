"""Routes of operators: tenants and every tenant's jobs. All need the scope `admin`."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.actions.cancel import cancel
from mezzotint.domain.drawing.recipe import RecipeAudience
from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.tenant import Tenant, Visibility, is_tenant_name
from mezzotint.domain.tier import Tier
from mezzotint.gateway.auth.ownership import JOB_ID
from mezzotint.gateway.cursor import Cursor, next_cursor
from mezzotint.gateway.dependencies import AdminClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.schemas import JobView, describe_errors
from mezzotint.gateway.service import Service

log = structlog.get_logger()
router = APIRouter(prefix="/v1/admin", tags=["admin"], responses=describe_errors(401, 403, 422, 503))
Name = Annotated[str, Path(description="the tenant's name", max_length=64)]
Id = Annotated[str, Path(description="the job's id", max_length=64)]


class TenantView(BaseModel):
    id: str
    tier: Tier
    created_at: datetime
    disabled_at: datetime | None
    visibility: Visibility
    reuses_pictures: bool
    recipe_audience: RecipeAudience


class TenantPage(BaseModel):
    tenants: list[TenantView]
    next_after: str | None = Field(description="`after` of the next page")


class NewTenant(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str = Field(max_length=64, description="letters, digits, '.', '_' or '-'")
    tier: Tier = Tier.FREE


class TenantChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tier: Tier | None = None
    is_disabled: bool | None = Field(None, description="true shuts out its users, keys and tokens")
    visibility: Visibility | None = Field(
        None, description="who sees what others of it made: nobody, its managers, or everybody of it"
    )
    reuses_pictures: bool | None = Field(
        None, description="whether its equal requests with a fixed seed are answered from a stored picture"
    )
    recipe_audience: RecipeAudience | None = Field(
        None,
        description="who finds prompt, seed and settings in the files of its new pictures: nobody, its own callers in "
        "what answers their requests, or everybody who has a picture's address",
    )


class ScreeningView(BaseModel):
    """The text filter's findings in the prompt when it let the job in."""

    scores: dict[str, float] = Field(description="by category; empty where no head scored it")
    stage: str = Field(description="the last stage that looked: rules, fast, strong or guard")
    language: str
    policy_version: str
    rules_version: str
    overrides_version: int
    heads_version: str


class PictureVerdict(BaseModel):
    """The image filter's findings in a finished picture."""

    position: int
    verdict: str
    scores: dict[str, dict[str, float | None]] | None = Field(description="by classifier and class")
    filter_version: str | None
    pdq: str | None = Field(description="perceptual hash; null: made before it was kept, or delivered blurred")


class AdminJob(JobView):
    tenant: str
    tier: Tier
    attempts: int
    worker: str | None
    screening: ScreeningView | None = Field(description="null: accepted before it was kept")
    picture_verdicts: list[PictureVerdict]


class AdminJobPage(BaseModel):
    jobs: list[AdminJob]
    next_cursor: str | None


@router.get("/tenants")
async def list_tenants(
    service: ServiceDep,
    admin: AdminClaims,
    after: Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> TenantPage:
    """Tenants that have a row, by name. Those known from tokens alone get theirs with their first key."""
    found = await service.accounts.tenants.page(limit, after)
    return TenantPage(
        tenants=[TenantView.model_validate(one, from_attributes=True) for one in found],
        next_after=found[-1].id if len(found) == limit else None,
    )


@router.post("/tenants", status_code=201, responses=describe_errors(400, 409, 413))
async def create_tenant(body: NewTenant, service: ServiceDep, admin: AdminClaims) -> TenantView:
    """Make a tenant."""
    if not is_tenant_name(body.id):
        hint = "Use 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit."
        raise ApiError("name_invalid", hint=hint, param="id")
    tenant = Tenant(id=TenantId(body.id), tier=body.tier, created_at=service.now())
    if not await service.accounts.tenants.add(tenant):
        raise ApiError("name_taken", hint="Choose another.", param="id")
    return TenantView.model_validate(tenant, from_attributes=True)


@router.patch("/tenants/{name}", responses=describe_errors(400, 404, 413))
async def change_tenant(name: Name, body: TenantChange, service: ServiceDep, admin: AdminClaims) -> TenantView:
    """Give a tenant another tier, shut it out or let it in again, say who sees its work and its recipes, or whether its
    equal requests are answered from a stored picture."""
    tenant = await find_tenant(service, name)
    if body.tier is not None:
        await service.accounts.tenants.set_tier(tenant.id, body.tier)
    if body.is_disabled is not None:
        await service.accounts.tenants.disable(tenant.id, service.now() if body.is_disabled else None)
        service.streams.changed.set()
    if body.visibility is not None:
        await service.accounts.tenants.set_visibility(tenant.id, body.visibility)
        service.streams.changed.set()
        log.info("tenant visibility set", tenant=tenant.id, visibility=body.visibility, by=admin.owner)
    if body.reuses_pictures is not None:
        await service.accounts.tenants.set_reuses_pictures(tenant.id, body.reuses_pictures)
    if body.recipe_audience is not None:
        await service.accounts.tenants.set_recipe_audience(tenant.id, body.recipe_audience)
        log.info("tenant recipe audience set", tenant=tenant.id, audience=body.recipe_audience, by=admin.owner)
    return TenantView.model_validate(await find_tenant(service, name), from_attributes=True)


@router.get("/jobs")
async def list_all_jobs(
    service: ServiceDep,
    admin: AdminClaims,
    cursor: Cursor,
    *,
    state: Annotated[JobState | None, Query(description="`failed` lists the dead letters")] = None,
    tenant: Annotated[str | None, Query(max_length=64, pattern=r"^[A-Za-z0-9._-]+$")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> AdminJobPage:
    """Everybody's jobs, newest first."""
    page = await service.backing.jobs.of_all(limit, cursor, state, None if tenant is None else TenantId(tenant))
    views = [to_admin_view(job) for _, job in page]
    return AdminJobPage(jobs=views, next_cursor=next_cursor([seq for seq, _ in page], limit))


@router.get("/jobs/{job_id}", responses=describe_errors(404))
async def read_any_job(job_id: Id, service: ServiceDep, admin: AdminClaims) -> AdminJob:
    """Anybody's job."""
    return to_admin_view(await find_job(service, job_id))


@router.delete("/jobs/{job_id}", responses=describe_errors(404))
async def cancel_any_job(job_id: Id, service: ServiceDep, admin: AdminClaims) -> AdminJob:
    """Cancel anybody's job. One that has ended stays as it is."""
    job = await find_job(service, job_id)
    return to_admin_view(await cancel(service.backing, job.id, service.now()) or job)


async def find_tenant(service: Service, name: str) -> Tenant:
    tenant = await service.accounts.tenants.get(TenantId(name)) if is_tenant_name(name) else None
    if tenant is None:
        raise ApiError("tenant_not_found", hint="GET /v1/admin/tenants lists them.")
    return tenant


async def find_job(service: Service, job_id: str) -> Job:
    job = await service.backing.jobs.get(JobId(job_id)) if JOB_ID.fullmatch(job_id) else None
    if job is None:
        raise ApiError("job_not_found", hint="GET /v1/admin/jobs lists them.")
    return job


def to_admin_view(job: Job) -> AdminJob:
    return AdminJob(
        **JobView.of(job).model_dump(),
        tenant=job.tenant,
        tier=job.tier,
        attempts=job.attempts,
        worker=job.lease.worker if job.lease else None,
        screening=ScreeningView.model_validate(job.screening, from_attributes=True) if job.screening else None,
        picture_verdicts=[PictureVerdict.model_validate(image, from_attributes=True) for image in job.images],
    )
