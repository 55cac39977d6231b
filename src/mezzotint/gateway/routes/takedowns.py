"""Routes of takedowns. All need the scope `admin`."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mezzotint.actions.takedown.begin import UndoRefusal, begin_takedown, undo_takedown
from mezzotint.actions.takedown.select import name_copies, plan_takedown
from mezzotint.domain.ids import TakedownId, TenantId
from mezzotint.domain.safety.takedown import PictureSelection, Takedown, TakedownPhase
from mezzotint.gateway.cursor import Cursor, next_cursor
from mezzotint.gateway.dependencies import AdminClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.schemas import describe_errors
from mezzotint.gateway.service import Service
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.takedown import MAX_NAMED, MAX_WORDS, SelectionInvalid, check_selection, read_picture_names

log = structlog.get_logger()
router = APIRouter(prefix="/v1/admin/takedowns", tags=["admin"], responses=describe_errors(401, 403, 422, 503))
Id = Annotated[str, Path(description="the takedown's id", max_length=40)]
PLAN_S = 20.0
"""A plan is counted so long before it says what it has seen so far."""
UNDO_HINTS = {
    UndoRefusal.UNDER_WAY: "GET it until its phase is `done`, then undo it.",
    UndoRefusal.ERASED: "Nothing can bring them back; `ends_at` said until when.",
}


class TakedownSelection(BaseModel):
    """The pictures that meet every condition that is given; `pictures` and `near` count as one."""

    model_config = ConfigDict(extra="forbid")

    pictures: list[Annotated[str, Field(max_length=2000)]] = Field(
        default_factory=list,
        max_length=MAX_NAMED,
        description="addresses (`/i/...`), SHA-256 hashes of files or uploads, or ids of jobs",
    )
    near: list[Annotated[str, Field(max_length=64)]] = Field(
        default_factory=list, max_length=MAX_NAMED, description="PDQ hashes: copies that look the same go too"
    )
    copies: bool = Field(
        False,
        description="pictures that look the same as those in `pictures` go too, by the hashes that rows keep",
    )
    tenant: str | None = Field(None, max_length=64, description="whose pictures")
    words: list[str] = Field(default_factory=list, max_length=MAX_WORDS, description="each stands in the prompt")
    categories: list[SafetyCategory] = Field(
        default_factory=list, max_length=len(SafetyCategory), description="what today's text filter finds in the prompt"
    )
    since: AwareDatetime | None = Field(None, description="made then or later")
    until: AwareDatetime | None = Field(None, description="made before")

    async def read(self, service: Service) -> PictureSelection:
        """Answers 422."""
        try:
            contents, jobs = read_picture_names(self.pictures)
            selection = PictureSelection(
                contents=contents,
                jobs=jobs,
                near=tuple(one.lower() for one in self.near),
                tenant=None if self.tenant is None else TenantId(self.tenant),
                words=tuple(self.words),
                categories=tuple(self.categories),
                since=self.since,
                until=self.until,
            )
            check_selection(selection)
            if self.copies:
                selection = await name_copies(service.takedowns, selection)
                check_selection(selection)
        except SelectionInvalid as error:
            hint = "POST /v1/admin/takedowns/plan shows what a selection takes, and changes nothing."
            raise ApiError("selection_invalid", message=str(error), hint=hint, param=error.param) from error
        return selection


class NewTakedown(TakedownSelection):
    reason: str = Field(min_length=1, max_length=2000, description="for those who look at it later")


class TakedownUndo(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=2000, description="for those who look at it later")


class TakedownCount(BaseModel):
    tenant: str
    num_pictures: int
    num_uploads: int


class TakedownPlanView(BaseModel):
    num_pictures: int
    num_uploads: int
    num_bytes: int = Field(description="of all files of them")
    num_open_jobs: int = Field(description="jobs in `pictures` that have not ended: they are cancelled")
    tenants: list[TakedownCount] = Field(description="those with the most first")
    num_seen: int = Field(description="pictures and uploads that were looked at")
    is_complete: bool = Field(description="false: the time did not suffice, there may be more")


class TakedownView(BaseModel):
    id: str
    phase: TakedownPhase
    selection: dict[str, object]
    reason: str
    made_by: str
    created_at: datetime
    ends_at: datetime = Field(description="until then it can be undone")
    num_seen: int
    num_pictures: int
    num_uploads: int
    num_moved: int = Field(description="pictures and uploads whose bytes are in quarantine")
    num_bytes: int
    failure: str | None = Field(description="why caches were not told yet")
    undone_at: datetime | None
    undone_by: str | None

    @classmethod
    def of(cls, takedown: Takedown) -> "TakedownView":
        fields = {name: getattr(takedown, name) for name in cls.model_fields if name != "selection"}
        given = {name: getattr(takedown.selection, name) for name in PictureSelection.__slots__}
        return cls(selection={name: value for name, value in given.items() if value}, **fields)


class TakedownPage(BaseModel):
    takedowns: list[TakedownView]
    next_cursor: str | None


@router.post("/plan", responses=describe_errors(400, 413))
async def plan_takedown_of(body: TakedownSelection, service: ServiceDep, admin: AdminClaims) -> TakedownPlanView:
    """Count what a takedown would take. Changes nothing."""
    planned = await plan_takedown(service.takedowns, await body.read(service), PLAN_S)
    plan = planned.plan
    tenants = sorted(
        plan.pictures_of.keys() | plan.uploads_of.keys(),
        key=lambda one: (-plan.pictures_of.get(one, 0), one),
    )
    return TakedownPlanView(
        num_pictures=plan.num_pictures,
        num_uploads=plan.num_uploads,
        num_bytes=plan.num_bytes,
        num_open_jobs=plan.num_open_jobs,
        tenants=[
            TakedownCount(
                tenant=one, num_pictures=plan.pictures_of.get(one, 0), num_uploads=plan.uploads_of.get(one, 0)
            )
            for one in tenants
        ],
        num_seen=planned.num_seen,
        is_complete=planned.is_complete,
    )


@router.post("", status_code=201, responses=describe_errors(400, 413))
async def create_takedown(
    body: NewTakedown, service: ServiceDep, admin: AdminClaims, response: Response
) -> TakedownView:
    """Take pictures down: from the answer on nobody gets them by any address, unless `phase` is still `withdrawing`.

    A picture's bytes are taken, so every picture and upload with the same bytes goes too. A job in `pictures` that has
    not ended is cancelled. The same selection again,
    with nothing new in it, answers the takedown that is there.
    """
    made_by = f"{admin.tenant}/{admin.owner}"
    selection = await body.read(service)
    takedown = await begin_takedown(service.takedowns, selection, reason=body.reason, made_by=made_by)
    log.warning("takedown", id=takedown.id, phase=takedown.phase, pictures=takedown.num_pictures, by=made_by)
    response.status_code = 202 if takedown.phase.is_under_way else 201
    return TakedownView.of(takedown)


@router.get("")
async def list_takedowns(
    service: ServiceDep, admin: AdminClaims, cursor: Cursor, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> TakedownPage:
    """The takedowns, newest first."""
    page = await service.takedowns.takedowns.page(limit, cursor)
    views = [TakedownView.of(one) for _, one in page]
    return TakedownPage(takedowns=views, next_cursor=next_cursor([seq for seq, _ in page], limit))


@router.get("/{takedown_id}", responses=describe_errors(404))
async def read_takedown(takedown_id: Id, service: ServiceDep, admin: AdminClaims) -> TakedownView:
    """A takedown, and how far it is."""
    return TakedownView.of(await find_takedown(service, takedown_id))


@router.post("/{takedown_id}/undo", responses=describe_errors(400, 404, 409, 413))
async def undo_takedown_of(
    takedown_id: Id, body: TakedownUndo, service: ServiceDep, admin: AdminClaims
) -> TakedownView:
    """Bring everything back that a takedown took, and take its hashes off the blocklist. Repeating it is harmless."""
    takedown = await find_takedown(service, takedown_id)
    undone_by = f"{admin.tenant}/{admin.owner}"
    outcome = await undo_takedown(service.takedowns, takedown, undone_by=undone_by, reason=body.reason)
    if isinstance(outcome, UndoRefusal):
        raise ApiError(outcome, hint=UNDO_HINTS[outcome])
    log.warning("takedown undone", id=takedown.id, phase=outcome.phase, by=undone_by)
    return TakedownView.of(outcome)


async def find_takedown(service: Service, id: str) -> Takedown:
    """Answers 404."""
    takedown = await service.takedowns.takedowns.get(TakedownId(id))
    if takedown is None:
        raise ApiError("takedown_not_found", hint="GET /v1/admin/takedowns lists them.")
    return takedown
