"""A request becomes durable jobs, or a refusal and no job."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from mezzotint.domain.claims import Claims
from mezzotint.domain.event import Changed
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.refusal import Refusal
from mezzotint.metrics import Metrics
from mezzotint.policy.admission import NUM_SEEDS, Admit, Request, admit
from mezzotint.store import EventBus, Jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What admission needs. check_prompt: the pre-filter, (prompt, negative prompt) -> refusal or None."""

    jobs: Jobs
    bus: EventBus
    model: ModelInfo
    check_prompt: Callable[[str, str], Refusal | None]
    metrics: Metrics = field(default_factory=Metrics)


async def submit(door: Door, request: Request, claims: Claims, now: datetime) -> tuple[Job, ...] | Refusal:
    """Admit, filter, commit: all of the request's jobs or none. When jobs are returned their rows are on the disk."""
    outcome = await _submit(door, request, claims, now)
    if isinstance(outcome, Refusal):
        door.metrics.refused.labels(code=outcome.code).inc()
    else:
        door.metrics.accepted.labels(lane=claims.tier).inc(len(outcome))
    return outcome


async def _submit(door: Door, request: Request, claims: Claims, now: datetime) -> tuple[Job, ...] | Refusal:
    decision = admit(
        request,
        tier=claims.tier,
        model=door.model,
        num_open_jobs=await door.jobs.count_open(claims.tenant),
        fresh_seed=secrets.randbelow(NUM_SEEDS),
    )
    if isinstance(decision, Refusal):
        return decision
    texts = {(plan.parameters.prompt, plan.parameters.negative_prompt) for plan in decision.plans}
    blocked = next((refusal for text in sorted(texts) if (refusal := door.check_prompt(*text))), None)
    if blocked is not None:
        await door.jobs.record_refusal(claims.tenant, blocked, request.prompt, now)
        return blocked
    jobs = _jobs(door, decision, claims, now)
    await door.jobs.add(*jobs)
    for job in jobs:
        door.bus.publish(job.id, Changed(job=job))
    door.bus.work.set()
    return jobs


def _jobs(door: Door, decision: Admit, claims: Claims, now: datetime) -> tuple[Job, ...]:
    ids = [JobId(f"job_{secrets.token_hex(12)}") for _ in decision.plans]
    return tuple(
        Job(
            id=id,
            tenant=claims.tenant,
            tier=claims.tier,
            state=JobState.QUEUED,
            raw_prompt=plan.raw_prompt,
            parameters=plan.parameters,
            model=door.model.name,
            created_at=now,
            batch=ids[0] if len(ids) > 1 else None,
        )
        for id, plan in zip(ids, decision.plans, strict=True)
    )
