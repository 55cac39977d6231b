"""Routes of reviews: finished pictures that wait for an admin, and originals of blocked ones. All need `admin`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.actions.review import deny_pictures, release_pictures, view_original
from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import JobId
from mezzotint.domain.safety.held_image import HeldState
from mezzotint.gateway.cursor import Cursor, next_cursor
from mezzotint.gateway.dependencies import AdminClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.schemas import describe_errors
from mezzotint.gateway.service import Service
from mezzotint.policy.safety.audit import SafetyChange
from mezzotint.store.safety.held_images import HeldEntry

log = structlog.get_logger()
router = APIRouter(prefix="/v1/admin/reviews", tags=["admin"], responses=describe_errors(401, 403, 422, 503))
Id = Annotated[str, Path(description="the job's id", max_length=64)]
PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}, "description": "the PNG"}
}


class HeldImageView(BaseModel):
    job_id: str
    position: int
    state: HeldState
    tenant: str
    category: str = Field(description="why, as the safety policy names it; may be empty")
    scores: Mapping[str, Mapping[str, float | None]] = Field(description="by classifier and class")
    filter_version: str
    is_kept: bool = Field(description="whether the original can be looked at")
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None

    @classmethod
    def of(cls, entry: HeldEntry) -> "HeldImageView":
        same = ("position", "state", "category", "scores", "filter_version", "created_at", "decided_at", "decided_by")
        fields = {name: getattr(entry.image, name) for name in same}
        return cls(job_id=entry.image.job, tenant=entry.tenant, is_kept=entry.image.key is not None, **fields)


class HeldImagePage(BaseModel):
    images: list[HeldImageView]
    next_cursor: str | None


class ReviewDecision(BaseModel):
    model_config = ConfigDict(extra="forbid")

    release: bool = Field(description="true delivers the job's pictures, false blocks them")
    reason: str = Field(min_length=1, max_length=2000, description="for those who look at it later")


@router.get("")
async def list_reviews(
    service: ServiceDep,
    admin: AdminClaims,
    cursor: Cursor,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    state: Annotated[HeldState, Query(description="`blocked` lists what the filter blocked")] = HeldState.REVIEW,
) -> HeldImagePage:
    """Finished pictures that were not delivered, newest first."""
    page = await service.reviews.held.page(limit, cursor, state)
    views = [HeldImageView.of(entry) for entry in page]
    return HeldImagePage(images=views, next_cursor=next_cursor([entry.seq for entry in page], limit))


@router.get("/{job_id}/{position}.png", response_class=Response, responses={**PNG, **describe_errors(404)})
async def view_held_image(
    job_id: Id,
    position: Annotated[int, Path(ge=0, le=10_000, description="of the picture in its job")],
    service: ServiceDep,
    admin: AdminClaims,
) -> Response:
    """Look at a picture that was not delivered. An audit row says who did."""
    found = [entry for entry in await service.reviews.held.of_job(JobId(job_id)) if entry.image.position == position]
    png = await view_original(service.reviews, found[0], _sign(service, admin, "")) if found else None
    if png is None:
        raise ApiError("image_not_found", hint="GET /v1/admin/reviews lists those that are kept.")
    return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})


@router.post("/{job_id}", status_code=204, response_class=Response, responses=describe_errors(400, 404, 413))
async def decide_review(job_id: Id, body: ReviewDecision, service: ServiceDep, admin: AdminClaims) -> None:
    """Release the pictures of a job, which has succeeded then, or deny them. Watchers and webhooks are told."""
    decide = release_pictures if body.release else deny_pictures
    if not await decide(service.reviews, JobId(job_id), _sign(service, admin, body.reason)):
        raise ApiError("review_not_found", hint="GET /v1/admin/reviews lists those that wait.")
    log.warning("review decided", job=job_id, released=body.release, by=f"{admin.tenant}/{admin.owner}")


def _sign(service: Service, admin: Claims, reason: str) -> SafetyChange:
    return SafetyChange(author=f"{admin.tenant}/{admin.owner}", reason=reason, at=service.now())
