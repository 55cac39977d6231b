"""Whether one more run fits into memory beside those in flight, and who makes room if not.

A heavier lane goes before a lighter one, and a run of a lighter lane is put aside for it, with a checkpoint. Whoever
has waited long goes before them all, so that no lane is shut out. A run is never put aside for its own lane: it would
only change places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mezzotint.domain.ids import JobId
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.device.preemption import MIN_RUN_S, NEARLY_DONE, RunningJob

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFootprint(RunningJob):
    """A run in flight. num_bytes: what it keeps alive."""

    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job that is to begin. num_bytes: what it will keep, as far as that is known."""

    job: JobId
    lane: Tier
    num_bytes: int
    waited_s: float


@dataclass(frozen=True, slots=True)
class Begin:
    """It fits."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """It waits until others have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeRoom:
    """Put this run aside, then ask again."""

    job: JobId


def choose_next(waiting: Sequence[Wanted]) -> Wanted:
    """Who is next: the impatient, then the heaviest lane, then whoever came first. `waiting` is not empty and in the
    order of arrival."""
    return min(
        waiting, key=lambda one: (one.waited_s < PATIENCE_S, _lightness(one) if one.waited_s < PATIENCE_S else 0)
    )


def decide_start(wanted: Wanted, going: Sequence[RunFootprint], bound_bytes: int) -> Begin | PutOff | MakeRoom:
    """bound_bytes: of all runs in flight; 0: no bound. With no run in flight there is always room."""
    excess = sum(run.num_bytes for run in going) + wanted.num_bytes - bound_bytes
    if bound_bytes == 0 or excess <= 0 or not going:
        return Begin()
    lighter = [run for run in going if _weight(run.lane) < _weight(wanted.lane) and _is_movable(run)]
    if (len(lighter) < len(going) and sum(run.num_bytes for run in lighter) < excess) or not lighter:
        return PutOff()  # putting some aside would not be enough
    return MakeRoom(job=min(lighter, key=lambda run: (_weight(run.lane), run.progress, run.job)).job)


def _is_movable(run: RunFootprint) -> bool:
    return run.ran_s >= MIN_RUN_S and run.progress < NEARLY_DONE and run.num_bytes > 0


def _weight(lane: Tier) -> float:
    return limits_of(lane).weight


def _lightness(wanted: Wanted) -> float:
    return -_weight(wanted.lane)
