"""A request becomes durable jobs, or a refusal and no job: parse, decide, write, tell."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeVar, overload

from mezzotint.actions.fleet_placement import FleetPlacement
from mezzotint.actions.open_tries import OpenTries
from mezzotint.actions.overload import Overload
from mezzotint.actions.safety.refusals import keep_refusal
from mezzotint.actions.screen import TextScreen
from mezzotint.actions.tenant_threads import TenantThreads
from mezzotint.domain.claims import Claims
from mezzotint.domain.drawing.prompt_weights import strip_weights
from mezzotint.domain.event import Changed
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job, JobState, ReuseScope
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.style import StyleInfo
from mezzotint.domain.submission import Once, Submission, TooManyOpen
from mezzotint.domain.task import Task
from mezzotint.domain.tier import limits_of
from mezzotint.metrics import Metrics
from mezzotint.policy.admission.admit import NUM_SEEDS, Admit, Terms, admit, check_open_jobs
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.quota import LaneAssignment, assign_lane
from mezzotint.policy.admission.request import JobRequest, ParsedRequest
from mezzotint.policy.reuse import choose_reuse_scope
from mezzotint.policy.visibility import visible_owners
from mezzotint.store import EventBus, Jobs, Refusals, Submissions, Uploads

Result = TypeVar("Result")
MAX_QUICK = 400
"""Characters."""
MAX_RACES = 3
"""Two requests of one name that come together: the loser finds the winner's jobs at its second try."""
TAKEN = refuse(
    RefusalCode.IDEMPOTENCY_KEY_REUSED,
    "The Idempotency-Key was sent before, with another request.",
    "Send a new key with a new request, and the same key only with the very same one.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The stores, filters and models by which requests become jobs.

    model: the default; others: those that may be asked for beside it. styles: those of the server. screen: the text
    filter. upscaler: its name, if there is one. placement: the fleet that runs the jobs; None: there is none. region:
    of this gateway; empty: none.
    """

    jobs: Jobs
    refusals: Refusals
    submissions: Submissions
    uploads: Uploads
    bus: EventBus
    model: ModelInfo
    screen: TextScreen
    overload: Overload
    metrics: Metrics = field(default_factory=Metrics)
    threads: TenantThreads = field(default_factory=TenantThreads)
    open_tries: OpenTries = field(default_factory=OpenTries)
    upscaler: str = ""
    others: tuple[ModelInfo, ...] = ()
    styles: tuple[StyleInfo, ...] = ()
    placement: FleetPlacement | None = None
    region: str = ""

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        return (self.model, *self.others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The request was carried out before; these are its jobs, as they are now. name: of the request that made them."""

    name: str
    jobs: tuple[Job, ...]


async def read_request(admission: Admission, request: JobRequest, claims: Claims) -> ParsedRequest:
    """Read the texts of a request, once for all that is decided about it."""
    parsed = await _compute(admission, request, claims, partial(parse_request, request))
    return ParsedRequest(request=request, prompts=parsed) if isinstance(parsed, Refusal) else parsed


async def _compute(
    admission: Admission, request: JobRequest, claims: Claims, function: Callable[[], Result | Refusal]
) -> Result | Refusal:
    """Call the function: at once, or in the tenant's thread where the request's texts are long."""
    texts = f"{request.prompt}{request.negative_prompt or ''}"
    if len(texts) <= MAX_QUICK and texts.isascii() and "{" not in request.prompt:
        return function()  # reading most texts takes less than a millisecond, as handing one to a thread would
    return await admission.threads.run(claims.tenant, function)


async def submit(
    admission: Admission,
    wanted: JobRequest | ParsedRequest,
    claims: Claims,
    now: datetime,
    once: Once | None = None,
) -> tuple[Job, ...] | Repeated | Refusal:
    """Parse, decide, write, tell: all of the request's jobs or none. When jobs are returned their rows are on the disk.

    once: how a repetition of the request is known; it gets the jobs that the first one made.
    """
    parsed = wanted if isinstance(wanted, ParsedRequest) else await read_request(admission, wanted, claims)
    asks_anew = parsed.request.is_new and not parsed.has_fixed_seed  # each repetition means another picture
    if once is None or (asks_anew and not (once.has_key or once.is_retry)):
        return await _create_jobs(admission, parsed, claims, now)
    if not once.series:
        return await _create_once(admission, parsed, claims, now, once)
    async with admission.open_tries.take_turn(claims.tenant, once.series, is_first=not once.num_retries):
        found = await admission.submissions.take_cut_try(claims.tenant, once, now) if once.num_retries else None
        if found is not None and (jobs := await _read_jobs(admission, found)):
            return Repeated(name=found.name, jobs=jobs)
        return await _create_once(admission, parsed, claims, now, once)


async def _create_once(
    admission: Admission, parsed: ParsedRequest, claims: Claims, now: datetime, once: Once
) -> tuple[Job, ...] | Repeated | Refusal:
    """Create the jobs of a named request, unless the same request made them already: then those."""
    for _ in range(MAX_RACES):
        outcome = await _create_jobs(admission, parsed, claims, now, once)
        if isinstance(outcome, tuple):
            return outcome
        # most requests are new: what was earlier is asked for only when one is in the way, or when this one is refused
        earlier = await _find_earlier(admission, claims, once, now)
        if earlier is not None:
            return earlier
        if outcome is not None:
            return outcome
    return TAKEN


async def _find_earlier(admission: Admission, claims: Claims, once: Once, now: datetime) -> Repeated | Refusal | None:
    found = await admission.submissions.find(claims.tenant, once, now)
    if found is None:
        return None
    if found.body != once.body:
        return TAKEN
    jobs = await _read_jobs(admission, found)
    if jobs and (once.has_key or once.is_retry or any(not job.state.is_final for job in jobs)):
        return Repeated(name=found.name, jobs=jobs)
    await admission.submissions.forget(claims.tenant, once, found.jobs)  # they ended: asking anew means a new picture
    return None


async def _read_jobs(admission: Admission, found: Submission) -> tuple[Job, ...]:
    return tuple([job for id in found.jobs if (job := await admission.jobs.get(id)) is not None])


@overload
async def _create_jobs(
    admission: Admission, parsed: ParsedRequest, claims: Claims, now: datetime
) -> tuple[Job, ...] | Refusal: ...
@overload
async def _create_jobs(
    admission: Admission, parsed: ParsedRequest, claims: Claims, now: datetime, once: Once
) -> tuple[Job, ...] | Refusal | None: ...
async def _create_jobs(
    admission: Admission, parsed: ParsedRequest, claims: Claims, now: datetime, once: Once | None = None
) -> tuple[Job, ...] | Refusal | None:
    """Decide, write, tell. None when another request of the same name (`once`) was committed meanwhile."""
    num_open, used_s = await admission.jobs.standing(claims.tenant, f"{now:%Y-%m}")
    place = assign_lane(claims.tier, used_s=used_s)
    outcome: tuple[Job, ...] | Refusal | None = await admission.overload.refusal(place.lane, now)
    if outcome is None:
        outcome = await _decide_jobs(admission, parsed, claims, now, place=place, num_open=num_open)
    if isinstance(outcome, tuple):
        added = await admission.jobs.add(*outcome, once=once, most_open=limits_of(claims.tier).max_open_jobs)
        if not added:
            return None
        if isinstance(added, TooManyOpen):  # others of the tenant came in since its open jobs were counted
            outcome = check_open_jobs(added.num_open, len(outcome), claims.tier)
    if isinstance(outcome, Refusal):
        admission.metrics.refused.labels(code=outcome.code).inc()
    elif outcome is not None:
        admission.metrics.accepted.labels(lane=place.lane).inc(len(outcome))
        for job in outcome:
            admission.bus.publish(job.id, Changed(job=job))
        admission.bus.ring()
    return outcome


async def _decide_jobs(
    admission: Admission, parsed: ParsedRequest, claims: Claims, now: datetime, *, place: LaneAssignment, num_open: int
) -> tuple[Job, ...] | Refusal:
    """Gather what is known, admit the request by it, screen its texts. num_open: jobs queued or running."""
    request = parsed.request
    source, mask = [
        None if name is None else await admission.uploads.find(claims.tenant, name, now, visible_owners(claims))
        for name in (request.source, request.mask)
    ]
    terms = Terms(
        tier=claims.tier,
        models=admission.models,
        upscaler=admission.upscaler,
        styles=admission.styles,
        num_open_jobs=num_open,
        fresh_seed=secrets.randbelow(NUM_SEEDS),
        source=source,
        mask=mask,
    )
    decision = await _compute(admission, request, claims, partial(admit, parsed, terms))
    if isinstance(decision, Refusal):
        return decision
    name = admission.upscaler if request.task is Task.UPSCALE else decision.model.name
    if admission.placement is not None:
        misplaced = await admission.placement.find_refusal(name, place.lane, claims.tenant, now, admission.region)
        if misplaced is not None:
            return misplaced
    texts = [(plan.parameters.prompt, plan.parameters.negative_prompt) for plan in decision.plans]
    if decision.model.weighs_words:  # nu(de:1.1) is the word that its letters make
        texts = [(strip_weights(prompt), strip_weights(negative)) for prompt, negative in texts]
    verdicts = await admission.screen.admit_texts(texts, claims.tenant, claims.tier)
    if isinstance(verdicts, Refusal):
        is_for_safety = verdicts.code is RefusalCode.PROMPT_BLOCKED
        return (
            await keep_refusal(admission.refusals, verdicts, request.prompt, claims, now) if is_for_safety else verdicts
        )
    scope = choose_reuse_scope(claims, has_fixed_seed=parsed.has_fixed_seed, is_new=request.is_new)
    jobs = _make_jobs(name, decision, claims, now, place=place, reuse_scope=scope)
    region = admission.region
    return tuple(replace(job, screening=one.evidence, region=region) for job, one in zip(jobs, verdicts, strict=True))


def _make_jobs(
    model: str,
    decision: Admit,
    claims: Claims,
    now: datetime,
    *,
    place: LaneAssignment,
    reuse_scope: ReuseScope | None,
) -> tuple[Job, ...]:
    ids = [JobId(f"job_{secrets.token_hex(12)}") for _ in decision.plans]
    return tuple(
        Job(
            id=id,
            tenant=claims.tenant,
            owner=claims.owner,
            tier=claims.tier,
            state=JobState.QUEUED,
            raw_prompt=plan.raw_prompt,
            parameters=plan.parameters,
            model=model,
            created_at=now,
            batch=ids[0] if len(ids) > 1 else None,
            is_over_quota=place.is_over_quota,
            reuse_scope=reuse_scope,
        )
        for id, plan in zip(ids, decision.plans, strict=True)
    )
