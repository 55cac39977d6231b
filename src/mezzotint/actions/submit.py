"""A request becomes a durable job, or a refusal and no job."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from mezzotint.domain.claims import Claims
from mezzotint.domain.event import Changed
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.prompt import MAX_SEED
from mezzotint.domain.refusal import Refusal
from mezzotint.metrics import Metrics
from mezzotint.policy.admission import Request, admit
from mezzotint.store import EventBus, Jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What admission needs. check_prompt: the pre-filter, (prompt, negative prompt) -> refusal or None."""

    jobs: Jobs
    bus: EventBus
    model: ModelInfo
    check_prompt: Callable[[str, str], Refusal | None]
    metrics: Metrics = field(default_factory=Metrics)


async def submit(door: Door, request: Request, claims: Claims, now: datetime) -> Job | Refusal:
    """Admit, filter, commit. When a job is returned its row is on the disk."""
    outcome = await _submit(door, request, claims, now)
    if isinstance(outcome, Refusal):
        door.metrics.refused.labels(code=outcome.code).inc()
    else:
        door.metrics.accepted.labels(lane=outcome.tier).inc()
    return outcome


async def _submit(door: Door, request: Request, claims: Claims, now: datetime) -> Job | Refusal:
    num_open = await door.jobs.count_open(claims.tenant)
    decision = admit(
        request,
        tier=claims.tier,
        model=door.model,
        num_open_jobs=num_open,
        fresh_seed=secrets.randbelow(MAX_SEED + 1),
    )
    if isinstance(decision, Refusal):
        return decision
    parameters = decision.parameters
    blocked = door.check_prompt(parameters.prompt, parameters.negative_prompt)
    if blocked is not None:
        await door.jobs.record_refusal(claims.tenant, blocked, request.prompt, now)
        return blocked
    job = Job(
        id=JobId(f"job_{secrets.token_hex(12)}"),
        tenant=claims.tenant,
        tier=claims.tier,
        state=JobState.QUEUED,
        raw_prompt=request.prompt,
        parameters=parameters,
        model=door.model.name,
        created_at=now,
    )
    await door.jobs.add(job)
    door.bus.publish(job.id, Changed(job=job))
    door.bus.work.set()
    return job
