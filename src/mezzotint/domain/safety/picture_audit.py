"""An audit of pictures: those of a time are judged again by today's filters."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.ids import AuditId, JobId, Sha256, TenantId


class AuditPhase(StrEnum):
    RUNNING = "running"
    DONE = "done"


class FoundIn(StrEnum):
    """Subject of a finding, which today's filters would stop: the text, the picture, or both."""

    PROMPT = "prompt"
    PICTURE = "picture"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCriteria:
    """categories: only findings of these; none: of any. score_over: pictures with a higher score of such a class are
    found even where the policy lets them pass; None: by the policy alone."""

    since: datetime | None = None
    until: datetime | None = None
    tenant: TenantId | None = None
    categories: tuple[str, ...] = ()
    score_over: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAudit:
    """last_seq: the newest picture when it began. cursor: the last one that was judged. num_unread: pictures whose file
    is missing or damaged."""

    id: AuditId
    phase: AuditPhase
    criteria: AuditCriteria
    created_at: datetime
    last_seq: int
    cursor: int = 0
    num_seen: int = 0
    num_unread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """picture: its `seq`. category: empty where no category is named. score: the highest of that class, 0..1; None
    where the text alone was stopped.

    verdict_before: with which the picture was delivered (its prompt was let pass). verdict_now: of today's filters, on
    picture and prompt. score_before: of the same class at the time: the picture's, or the prompt's where it alone was
    found; None where none was kept.
    """

    picture: int
    job: JobId
    tenant: TenantId
    png: Sha256
    made_at: datetime
    found_in: FoundIn
    category: str
    score: float | None
    verdict_before: str = ""
    verdict_now: str = ""
    score_before: float | None = None
