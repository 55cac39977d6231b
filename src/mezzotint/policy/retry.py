"""Decide on a job whose run failed: retry it later, on another worker if possible, or mark it failed (a dead letter).

A fault that would only repeat itself ends the job at once. One that may lie with the machine (NaN, a failed run) is
tried once more, on another worker. An unreachable store is nobody's fault: it counts up to the limit. Preemption and
drain are no faults and never come here.

A worker that ended, or an engine that failed as a whole, leaves several jobs, of which one may be the cause (a poison
pill). All are suspects: each runs alone next, and is one no more when it saves a checkpoint beyond the step where the
worker ended. A suspect whose worker ends again is given up as `policy/poison.py` says, whatever the limit.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mezzotint.domain.errors import (
    DeadlineExceeded,
    EncodeFailed,
    FilterFailed,
    ImageBlocked,
    JobFault,
    ModelUndrawable,
    NotFinite,
    OutOfMemory,
    RunFailed,
    SourceMissing,
    StepBudgetExceeded,
    WorkerLost,
)
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import JobError
from mezzotint.policy.poison import CERTAIN_LOSSES, is_poison_pill

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0
AVOID_S = 120.0
"""The time that a job waits for another worker than the one that failed it; then any may take it, the only one too."""

CLOCKS_DIFFER_S = 60.0
"""The difference that the clocks of the machines of one service may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Back to the queue. It may be claimed from `not_before`; until `avoid_until` not by the worker `avoid`.

    is_suspect: it may have ended a worker, so that it runs alone next. is_charged: whether the try counts.
    """

    not_before: datetime
    avoid: WorkerId | None
    avoid_until: datetime
    is_suspect: bool = False
    is_charged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """No more tries: the job fails with this reason, and an admin may retry it."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that failed.

    num_tries: claims of the job since it last got further, this one included; 0: this one is not charged.
    num_losses: workers (or engines) that ended while they ran it since it last got further, this one included; 0: this
    one lives. num_other_ends: workers that ended lately while they did not run it.
    worker: who failed it; None when it is not to be avoided.
    jitter: 0..1, dice thrown by the caller.
    """

    fault: JobFault
    num_tries: int
    worker: WorkerId | None
    at: datetime
    jitter: float
    num_losses: int = 0
    num_other_ends: int = 0

    @property
    def is_pill(self) -> bool:
        return is_poison_pill(self.num_losses, self.num_other_ends)


def decide_retry(failure: Failure, *, max_tries: int) -> Retry | DeadLetter:
    """Decide on a failed run. max_tries: of one job, at least 1."""
    most = min(max_tries, tries_of(failure.fault))
    if failure.num_tries >= most or failure.is_pill:
        return DeadLetter(error=_explain_end(failure))
    return Retry(
        not_before=failure.at + timedelta(seconds=delay_s(failure)),
        avoid=failure.worker,
        avoid_until=failure.at + timedelta(seconds=AVOID_S),
        is_suspect=failure.num_losses > 0,
        is_charged=failure.num_tries > 0,
    )


def tries_of(fault: JobFault) -> float:
    """Count the times that a job may meet this fault; infinite where only the general limit counts."""
    match fault:
        case ImageBlocked() | SourceMissing() | StepBudgetExceeded() | DeadlineExceeded():
            return 1
        case EncodeFailed() | ModelUndrawable():
            return 1
        case NotFinite() | RunFailed() | OutOfMemory() | FilterFailed():
            return 2
        case _:
            return float("inf")


def latest_due(now: datetime) -> datetime:
    """The latest time that a try is put off to: a later one was written before the clock was set back."""
    return now + timedelta(seconds=MAX_DELAY_S + CLOCKS_DIFFER_S)


def latest_avoiding(now: datetime) -> datetime:
    """The same of how long a job avoids a worker."""
    return now + timedelta(seconds=AVOID_S + CLOCKS_DIFFER_S)


def delay_s(failure: Failure) -> float:
    """Doubling from FIRST_DELAY_S to MAX_DELAY_S, the upper half of it by dice; none after the first lost worker."""
    if isinstance(failure.fault, WorkerLost) and failure.num_tries <= 1:
        return 0.0
    doublings = min(max(failure.num_tries, 1) - 1, 16)
    longest = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0**doublings)
    return longest * (0.5 + 0.5 * min(max(failure.jitter, 0.0), 1.0))


def end_sentence(text: str) -> str:
    """The text with a full stop, where it has none."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _explain_end(failure: Failure) -> JobError:
    error = JobError.of(failure.fault)
    if failure.is_pill:
        which = "second" if failure.num_losses == CERTAIN_LOSSES else "third"
        message = (
            f"{end_sentence(error.message)} It was the {which} time, and the job ran alone: it is not tried again."
        )
        return JobError(code=error.code, message=message, hint=error.hint)
    if failure.num_tries <= 1:
        return error
    message = f"{end_sentence(error.message)} It was tried {failure.num_tries} times."
    return JobError(code=error.code, message=message, hint=error.hint)
