"""What becomes of a job whose run failed: it tries again, later and elsewhere, or it is a dead letter.

A fault that would only repeat itself ends the job at once. One that may lie with the machine (NaN, a failed run) is
tried once more, on another worker. A lost worker or an unreachable store is nobody's fault: it counts up to the limit.
Preemption and drain are no faults and never come here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mezzotint.domain.errors import (
    DeadlineExceeded,
    EncodeFailed,
    EngineFailed,
    FilterFailed,
    ImageBlocked,
    JobFault,
    NotFinite,
    RunFailed,
    SourceMissing,
    StepBudgetExceeded,
    WorkerLost,
)
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import JobError

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0
AVOID_S = 120.0
"""How long a job waits for another worker than the one that failed it; then any may take it, if it is the only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Back to the queue. It may be claimed from `not_before`; until `avoid_until` not by the worker `avoid`."""

    not_before: datetime
    avoid: WorkerId | None
    avoid_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """No more tries: the job fails with this reason, and an admin may retry it."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that failed.

    num_tries: claims of the job since it last got further, this one included.
    worker: who failed it; None when it is not to be avoided.
    jitter: 0..1, dice thrown by the caller.
    """

    fault: JobFault
    num_tries: int
    worker: WorkerId | None
    at: datetime
    jitter: float


def after(failure: Failure, *, max_tries: int) -> Retry | DeadLetter:
    """Decide on a failed run. max_tries: of one job, at least 1."""
    most = min(max_tries, tries_of(failure.fault))
    if failure.num_tries >= most:
        return DeadLetter(error=_reason(failure))
    return Retry(
        not_before=failure.at + timedelta(seconds=delay_s(failure)),
        avoid=failure.worker,
        avoid_until=failure.at + timedelta(seconds=AVOID_S),
    )


def tries_of(fault: JobFault) -> float:
    """How often a job may meet this fault; infinite where only the general limit counts."""
    match fault:
        case ImageBlocked() | SourceMissing() | StepBudgetExceeded() | DeadlineExceeded() | EncodeFailed():
            return 1
        case NotFinite() | RunFailed() | EngineFailed() | FilterFailed():
            return 2
        case _:
            return float("inf")


def delay_s(failure: Failure) -> float:
    """Doubling from FIRST_DELAY_S to MAX_DELAY_S, the upper half of it by dice; none after the first lost worker."""
    if isinstance(failure.fault, WorkerLost) and failure.num_tries <= 1:
        return 0.0
    doublings = min(max(failure.num_tries, 1) - 1, 16)
    longest = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0**doublings)
    return longest * (0.5 + 0.5 * min(max(failure.jitter, 0.0), 1.0))


def _reason(failure: Failure) -> JobError:
    error = JobError.of(failure.fault)
    if failure.num_tries <= 1:
        return error
    message = f"{error.message} It was tried {failure.num_tries} times."
    return JobError(code=error.code, message=message, hint=error.hint)
