"""Routes of users against refusals: appeal, and hear of the decision."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.actions.safety.appeals import AppealFault, appeal_against
from mezzotint.gateway.auth.ownership import find_refusal
from mezzotint.gateway.cursor import Cursor, next_cursor
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.schemas import describe_errors
from mezzotint.policy.safety.appeals import Appeal, AppealState
from mezzotint.policy.visibility import own

router = APIRouter(prefix="/v1/appeals", tags=["appeals"], responses=describe_errors(401, 422, 503))
HINTS = {
    AppealFault.OTHER_PROMPT: "Send it exactly as you sent it to be drawn, or leave it out.",
    AppealFault.EXISTS: "GET /v1/appeals shows it, and what was decided.",
    AppealFault.TOO_MANY: "Wait until some are decided.",
}


class NewAppeal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    refusal_id: str = Field(
        max_length=40, description="`refusal_id` of the error that refused your prompt, or the blocked job's id"
    )
    explanation: str = Field(min_length=1, max_length=2000, description="why the prompt is harmless")
    prompt: str | None = Field(
        None,
        min_length=1,
        max_length=20_000,
        description="the refused prompt as you sent it, if those who decide may read and keep it",
    )


class AppealView(BaseModel):
    id: str
    refusal_id: str
    category: str
    explanation: str
    state: AppealState
    created_at: datetime
    decided_at: datetime | None
    note: str | None = Field(description="of who decided it")

    @classmethod
    def of(cls, appeal: Appeal) -> "AppealView":
        names = ("id", "explanation", "state", "created_at", "decided_at", "note")
        fields = {name: getattr(appeal, name) for name in names}
        return cls(refusal_id=appeal.refusal, category=appeal.evidence.category, **fields)


class AppealPage(BaseModel):
    appeals: list[AppealView]
    next_cursor: str | None


@router.post("", status_code=201, responses=describe_errors(400, 404, 409, 413))
async def create_appeal(body: NewAppeal, request: Request, service: ServiceDep, claims: CallerClaims) -> AppealView:
    """Ask who runs this server to look again at a prompt of yours that was refused, or a picture that was blocked."""
    await service.rate_limits.count_appeal(request, claims)
    refusal = await find_refusal(service, claims, body.refusal_id)
    made = await appeal_against(service.safety, refusal, body.explanation, body.prompt, service.now())
    if isinstance(made, AppealFault):
        raise ApiError(made, hint=HINTS[made], param="prompt" if made is AppealFault.OTHER_PROMPT else None)
    return AppealView.of(made)


@router.get("")
async def list_appeals(
    service: ServiceDep, claims: CallerClaims, cursor: Cursor, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> AppealPage:
    """Your appeals, newest first."""
    page = await service.safety.appeals.of_owner(claims.tenant, own(claims), limit, cursor)
    return AppealPage(
        appeals=[AppealView.of(appeal) for _, appeal in page], next_cursor=next_cursor([seq for seq, _ in page], limit)
    )
