"""Decide whether one more run fits into memory beside those in flight, or which run is preempted for it.

A heavier lane starts before a lighter one, and a run of a lighter lane is preempted for it, with a checkpoint. A job
that has waited long starts before all others, so that no lane starves. A run is never preempted for its own lane:
the two would only change places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mezzotint.domain.ids import JobId
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.device.preemption import MIN_RUN_S, NEARLY_DONE, RunningJob

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFootprint(RunningJob):
    """A run in flight with the memory that it holds. num_bytes: of its tensors."""

    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job that is to start. num_bytes: the memory that it will hold, as far as known."""

    job: JobId
    lane: Tier
    num_bytes: int
    waited_s: float


@dataclass(frozen=True, slots=True)
class Begin:
    """The job fits."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """The job waits until others have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeRoom:
    """Preempt this run, then decide again."""

    job: JobId


def choose_next(waiting: Sequence[Wanted]) -> Wanted:
    """Choose the job to start next: after PATIENCE_S the oldest, else the oldest of the heaviest lane.

    waiting: not empty, in the order of arrival.
    """
    return next((job for job in waiting if job.waited_s >= PATIENCE_S), max(waiting, key=lambda job: _weight(job.lane)))


def decide_start(wanted: Wanted, going: Sequence[RunFootprint], bound_bytes: int) -> Begin | PutOff | MakeRoom:
    """Decide on a job. bound_bytes: of all runs in flight; 0: no bound. With no run in flight there is always room."""
    excess = sum(run.num_bytes for run in going) + wanted.num_bytes - bound_bytes
    if bound_bytes == 0 or excess <= 0 or not going:
        return Begin()
    movable = [run for run in going if run.ran_s >= MIN_RUN_S and run.progress < NEARLY_DONE and run.num_bytes > 0]
    lighter = [run for run in movable if _weight(run.lane) < _weight(wanted.lane)]
    if (len(lighter) < len(going) and sum(run.num_bytes for run in lighter) < excess) or not lighter:
        return PutOff()  # preempting them would not be enough
    return MakeRoom(job=min(lighter, key=lambda run: (_weight(run.lane), run.progress, run.job)).job)


def _weight(lane: Tier) -> float:
    return limits_of(lane).weight
