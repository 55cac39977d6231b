"""Routes of admins over the safety policy in use: hard rules, the dial, refusals, appeals, the audit."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mezzotint.actions.safety.dial import TighteningRequest, end_tightening, tighten
from mezzotint.actions.safety.rules import (
    RuleDraft,
    RuleRejected,
    RuleTrial,
    add_rule,
    date_rule,
    remove_rule,
    try_rule,
)
from mezzotint.domain.claims import Claims
from mezzotint.gateway.cursor import Cursor, next_cursor
from mezzotint.gateway.dependencies import AdminClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.routes.appeals import AppealView
from mezzotint.gateway.schemas import describe_errors
from mezzotint.gateway.service import Service
from mezzotint.policy.safety.appeals import Appeal, AppealState
from mezzotint.policy.safety.audit import AuditAction, SafetyChange
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.dial import Tightening
from mezzotint.policy.safety.hard_rules import MAX_GROUPS, MAX_RULES, MAX_TERM, MAX_TERMS, HardRule
from mezzotint.store import KeptRefusal

router = APIRouter(prefix="/v1/admin/safety", tags=["safety"], responses=describe_errors(401, 403, 422, 503))
Term = Annotated[str, Field(max_length=MAX_TERM)]
Group = Annotated[list[Term], Field(max_length=MAX_TERMS)]
Reason = Annotated[str, Field(min_length=1, max_length=1000, description="the audit keeps it")]
ReasonQuery = Annotated[str, Query(min_length=1, max_length=1000, description="the audit keeps it")]
Limit = Annotated[int, Query(ge=1, le=100)]
Id = Annotated[str, Path(max_length=40)]


class RuleTerms(BaseModel):
    model_config = ConfigDict(extra="forbid")

    category: SafetyCategory
    all_of: list[Group] = Field(
        max_length=MAX_GROUPS, description="blocks a prompt with a term of each group; `@nudity` stands for a list"
    )
    none_of: Group = Field([], description="and no term of these")
    reason: Reason
    expires_at: AwareDatetime | None = Field(None, description="when it lets go by itself; null: never")

    def draft(self) -> RuleDraft:
        return RuleDraft(
            category=self.category,
            all_of=tuple(tuple(group) for group in self.all_of),
            none_of=tuple(self.none_of),
            expires_at=self.expires_at,
        )


class TriedRule(RuleTerms):
    show_prompts: bool = Field(False, description="with some of the prompts that it would stop; the audit tells of it")


class NewRule(RuleTerms):
    force: bool = Field(False, description="even if it refuses harmless prompts of the golden set")


class RuleChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expires_at: AwareDatetime | None = Field(description="null: never")
    reason: Reason


class TrialView(BaseModel):
    num_recent: int = Field(description="prompts of the newest jobs, and of refusals whose text is kept")
    num_stopped: int
    num_newly_stopped: int = Field(description="that no filter refuses without it, among the newest 500")
    num_adversarial: int = Field(description="prompts of the golden set that should be refused")
    num_newly_caught: int
    num_benign: int = Field(description="prompts of the golden set that should be drawn")
    num_newly_refused: int
    blocks_too_much: bool
    refused_benign: list[str]
    stopped_prompts: list[str]

    @classmethod
    def of(cls, trial: RuleTrial) -> "TrialView":
        return cls.model_validate(trial, from_attributes=True)


class RuleView(BaseModel):
    id: str
    version: int
    category: SafetyCategory
    all_of: list[list[str]]
    none_of: list[str]
    author: str
    reason: str
    created_at: datetime
    expires_at: datetime | None
    removed_at: datetime | None

    @classmethod
    def of(cls, rule: HardRule) -> "RuleView":
        return cls.model_validate(rule, from_attributes=True)


class AddedRule(RuleView):
    trial: TrialView


class RuleList(BaseModel):
    rules: list[RuleView]


class NewTightening(BaseModel):
    model_config = ConfigDict(extra="forbid")

    category: SafetyCategory | None = Field(None, description="null: all")
    by: float = Field(gt=0, lt=1, description="share taken from the thresholds: 0.1 makes 0.8 of them 0.72")
    hours: float = Field(gt=0, le=10_000, description="after which it gives back by itself")
    reason: Reason


class TighteningView(BaseModel):
    id: str
    category: SafetyCategory | None
    by: float
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str

    @classmethod
    def of(cls, tightening: Tightening) -> "TighteningView":
        return cls.model_validate(tightening, from_attributes=True)


class Dial(BaseModel):
    tightenings: list[TighteningView]
    factors: dict[str, float] = Field(description="by category: what its thresholds are multiplied by at the moment")


class AuditView(BaseModel):
    at: datetime
    author: str
    action: AuditAction
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str


class AuditPage(BaseModel):
    entries: list[AuditView]
    next_cursor: str | None


class RefusalView(BaseModel):
    id: str
    tenant: str
    owner: str
    category: str
    rule: str = Field(description="the hard rule in use that held; empty: none")
    scores: dict[str, float]
    overrides_version: int
    policy_version: str
    text_hash: str = Field(description="SHA-256 of the prompt")
    prompt: str = Field(description="empty unless this server keeps refused prompts")
    created_at: datetime

    @classmethod
    def of(cls, refusal: KeptRefusal) -> "RefusalView":
        evidence = refusal.evidence
        names = ("id", "tenant", "owner", "text_hash", "prompt", "created_at")
        return cls(
            category=evidence.category,
            rule=evidence.rule,
            scores=dict(evidence.scores),
            overrides_version=evidence.overrides_version,
            policy_version=evidence.policy_version,
            **{name: getattr(refusal, name) for name in names},
        )


class RefusalPage(BaseModel):
    refusals: list[RefusalView]
    next_cursor: str | None


class AdminAppeal(AppealView):
    tenant: str
    owner: str
    prompt: str | None = Field(description="null where neither the user gave it nor this server keeps it")
    text_hash: str
    decided_by: str | None

    @classmethod
    def of(cls, appeal: Appeal) -> "AdminAppeal":
        more = {name: getattr(appeal, name) for name in ("tenant", "owner", "prompt", "text_hash", "decided_by")}
        return cls(**AppealView.of(appeal).model_dump(), **more)


class AdminAppealPage(BaseModel):
    appeals: list[AdminAppeal]
    next_cursor: str | None


class Decision(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outcome: Literal[AppealState.UPHELD, AppealState.OVERTURNED]
    note: str = Field(min_length=1, max_length=1000, description="the user reads it, the audit keeps it")


@router.get("/rules")
async def list_rules(
    service: ServiceDep,
    admin: AdminClaims,
    ended: Annotated[bool, Query(description="also those that expired or were removed")] = False,
) -> RuleList:
    """The hard rules in use, newest first; beside them stand those of the rules files."""
    found = await service.safety.overrides.list_rules(MAX_RULES, with_ended=ended, now=service.now())
    return RuleList(rules=[RuleView.of(rule) for rule in found])


@router.post("/rules/trial", responses=describe_errors(400, 413))
async def try_hard_rule(body: TriedRule, service: ServiceDep, admin: AdminClaims) -> TrialView:
    """Count what a rule would stop of the last 10,000 prompts and of the golden sets. Changes nothing."""
    change = describe_change(service, admin, body.reason)
    tried = await try_rule(service.safety, body.draft(), change, shows_prompts=body.show_prompts)
    if isinstance(tried, RuleRejected):
        raise reject_rule(tried)
    return TrialView.of(tried)


@router.post("/rules", status_code=201, responses=describe_errors(400, 409, 413))
async def create_hard_rule(body: NewRule, service: ServiceDep, admin: AdminClaims) -> AddedRule:
    """Put a rule into force in every process of this database, within seconds."""
    change = describe_change(service, admin, body.reason)
    added = await add_rule(service.safety, body.draft(), change, is_forced=body.force)
    if isinstance(added, RuleRejected):
        raise reject_rule(added)
    rule, trial = added
    return AddedRule(**RuleView.of(rule).model_dump(), trial=TrialView.of(trial))


@router.patch("/rules/{rule_id}", responses=describe_errors(400, 404, 413))
async def change_hard_rule(rule_id: Id, body: RuleChange, service: ServiceDep, admin: AdminClaims) -> RuleView:
    """Give a rule another end, or none."""
    change = describe_change(service, admin, body.reason)
    dated = await date_rule(service.safety, rule_id, body.expires_at, change)
    if isinstance(dated, RuleRejected):
        raise reject_rule(dated)
    return show_rule(dated)


@router.delete("/rules/{rule_id}", responses=describe_errors(404))
async def delete_hard_rule(rule_id: Id, reason: ReasonQuery, service: ServiceDep, admin: AdminClaims) -> RuleView:
    """Take a rule out of force."""
    removed = await remove_rule(service.safety, rule_id, describe_change(service, admin, reason))
    return show_rule(removed)


@router.get("/tightenings")
async def read_dial(service: ServiceDep, admin: AdminClaims) -> Dial:
    """The tightenings in force, and what they come to."""
    now = service.now()
    found = await service.safety.overrides.in_force(now)
    return Dial(
        tightenings=[TighteningView.of(one) for one in found.tightenings], factors=dict(found.threshold_factors(now))
    )


@router.post("/tightenings", status_code=201, responses=describe_errors(400, 413))
async def create_tightening(body: NewTightening, service: ServiceDep, admin: AdminClaims) -> TighteningView:
    """Make thresholds stricter for a time, in every process of this database."""
    request = TighteningRequest(category=body.category, by=body.by, lasts=timedelta(hours=body.hours))
    made = await tighten(service.safety, request, describe_change(service, admin, body.reason))
    if isinstance(made, str):
        raise ApiError("tightening_invalid", hint=made)
    return TighteningView.of(made)


@router.delete("/tightenings/{tightening_id}", responses=describe_errors(404))
async def delete_tightening(
    tightening_id: Id, reason: ReasonQuery, service: ServiceDep, admin: AdminClaims
) -> TighteningView:
    """End a tightening before its time."""
    ended = await end_tightening(service.safety, tightening_id, describe_change(service, admin, reason))
    if ended is None:
        raise ApiError("tightening_not_found", hint="GET /v1/admin/safety/tightenings lists them.")
    return TighteningView.of(ended)


@router.get("/audit")
async def list_audit(
    service: ServiceDep,
    admin: AdminClaims,
    cursor: Cursor,
    action: Annotated[
        frozenset[AuditAction], Query(description="only these; may be given several times")
    ] = frozenset(),
    limit: Limit = 20,
) -> AuditPage:
    """The audit of changes: by whom, when, from what to what and why; newest first."""
    page = await service.safety.audit.page(limit, cursor, action)
    entries = [
        AuditView(
            at=entry.change.at,
            author=entry.change.author,
            action=entry.action,
            subject=entry.subject,
            before=None if entry.before is None else dict(entry.before),
            after=None if entry.after is None else dict(entry.after),
            reason=entry.change.reason,
        )
        for _, entry in page
    ]
    return AuditPage(entries=entries, next_cursor=next_cursor([seq for seq, _ in page], limit))


@router.get("/refusals")
async def list_refusals(service: ServiceDep, admin: AdminClaims, cursor: Cursor, limit: Limit = 20) -> RefusalPage:
    """Everybody's refusals, newest first: what each rests on."""
    page = await service.safety.refusals.page(limit, cursor)
    views = [RefusalView.of(refusal) for _, refusal in page]
    return RefusalPage(refusals=views, next_cursor=next_cursor([seq for seq, _ in page], limit))


@router.get("/appeals")
async def list_all_appeals(
    service: ServiceDep,
    admin: AdminClaims,
    cursor: Cursor,
    state: Annotated[frozenset[AppealState], Query(description="only these; may be given several times")] = frozenset(),
    limit: Limit = 20,
) -> AdminAppealPage:
    """Everybody's appeals, newest first."""
    page = await service.safety.appeals.page(limit, cursor, state)
    views = [AdminAppeal.of(appeal) for _, appeal in page]
    return AdminAppealPage(appeals=views, next_cursor=next_cursor([seq for seq, _ in page], limit))


@router.post("/appeals/{appeal_id}/decision", responses=describe_errors(400, 404, 409, 413))
async def decide_appeal(appeal_id: Id, body: Decision, service: ServiceDep, admin: AdminClaims) -> AdminAppeal:
    """Uphold a refusal (it was right) or overturn it (it was wrong). The decision is kept as labelled data."""
    change = describe_change(service, admin, body.note)
    decided = await service.safety.appeals.decide(appeal_id, AppealState(body.outcome), change)
    if decided is None:
        raise ApiError("appeal_not_found", hint="GET /v1/admin/safety/appeals lists them.")
    if isinstance(decided, AppealState):
        raise ApiError("appeal_decided", hint="Nothing was changed.")
    return AdminAppeal.of(decided)


def describe_change(service: Service, admin: Claims, reason: str) -> SafetyChange:
    return SafetyChange(author=f"{admin.tenant}/{admin.owner}", reason=reason, at=service.now())


def reject_rule(rejected: RuleRejected) -> ApiError:
    return ApiError(rejected.fault, hint=rejected.hint)


def show_rule(rule: HardRule | None) -> RuleView:
    """Answers 404 where there is none."""
    if rule is None:
        raise ApiError("rule_not_found", hint="GET /v1/admin/safety/rules lists them.")
    return RuleView.of(rule)
