"""Usage by month: the tenant's own; an admin reads any tenant's."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from mezzotint.domain.claims import Scope
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.gateway.auth.authenticate import require_scope
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.schemas import describe_errors

router = APIRouter(prefix="/v1/usage", tags=["usage"], responses=describe_errors(401, 403, 422, 503))
MONTH = r"^[0-9]{4}-(0[1-9]|1[0-2])$"


class MonthUsage(BaseModel):
    month: str = Field(description="UTC, such as 2026-01")
    num_jobs: int = Field(description="that ended after a worker had begun them, cancelled and failed ones included")
    num_images: int
    num_steps: int = Field(description="sampler steps of those jobs")
    num_passes: int = Field(description="calls of the denoiser that were computed; of those that were drawn")
    num_forecast: int = Field(description="calls of the denoiser that were foretold; of those that were drawn")
    gpu_s: float = Field(description="GPU-seconds charged")
    waived_s: float = Field(description="GPU-seconds of failed jobs, which are not charged")


class UsageView(BaseModel):
    tenant: str
    quota_s: float | None = Field(description="GPU-seconds a month; null: no quota, or the tenant has no row")
    months: list[MonthUsage] = Field(description="newest first; months without a job are left out")


@router.get("")
async def read_usage(
    service: ServiceDep,
    claims: CallerClaims,
    since: Annotated[str, Query(pattern=MONTH, description="first month; default: all")] = "0001-01",
    tenant: Annotated[str | None, Query(max_length=64, description="for admins: whose; default: yours")] = None,
) -> UsageView:
    """Jobs, pictures and GPU-seconds, by month."""
    whose: TenantId = claims.tenant
    tier: Tier | None = claims.tier
    if tenant is not None and tenant != claims.tenant:
        require_scope(claims, Scope.ADMIN)
        whose = TenantId(tenant)
        known = await service.accounts.tenants.get(whose)
        tier = None if known is None else known.tier
    months = await service.ledger.usage(whose, since)
    return UsageView(
        tenant=whose,
        quota_s=None if tier is None else limits_of(tier).quota_s,
        months=[MonthUsage.model_validate(month, from_attributes=True) for month in months],
    )
