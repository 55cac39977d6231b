"""A webhook, to which the end of each of its owner's jobs is delivered."""

from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.ids import OF_TENANT, JobId, OwnerId, TenantId, WebhookId
from mezzotint.domain.job import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """disabled_at: since when nothing is sent: its receiver answered 410, or its owner ended it."""

    id: WebhookId
    tenant: TenantId
    url: str
    created_at: datetime
    disabled_at: datetime | None = None
    owner: OwnerId = OF_TENANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The delivery of a job's end to a webhook. next_at: None when it is delivered or given up."""

    seq: int
    webhook: WebhookId
    job: JobId
    state: JobState
    attempts: int
    next_at: datetime | None = None
    delivered_at: datetime | None = None
    status: int | None = None
    failure: str | None = None
