"""Who makes room when a Pro job waits and every place of a worker is taken by lower lanes.

One run at a time is put aside with a checkpoint, so nothing it did is lost. The last place is never fought over: a run
that has just begun, or has nearly ended, stays, so every lane gets further with each turn that it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mezzotint.domain.ids import JobId
from mezzotint.domain.tier import Tier, limits_of

MIN_RUN_S = 3.0
"""Each claim buys at least so much time: Pro cannot keep a lower lane from ever getting further."""
NEARLY_DONE = 0.8
"""Part of its steps after which a run frees its place sooner than a change would pay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A run under way. ran_s: seconds since it was claimed."""

    job: JobId
    lane: Tier
    step: int
    num_steps: int
    ran_s: float

    @property
    def progress(self) -> float:
        return self.step / max(self.num_steps, 1)


def choose_victim(going: Sequence[RunningJob], waiting: Tier) -> JobId | None:
    """The run that makes room for a job of lane `waiting`: of the lightest lane, the one with most left to do. None
    when a run of that lane or a heavier one has a place already, or nobody can be moved now."""
    if any(limits_of(run.lane).weight >= limits_of(waiting).weight for run in going):
        return None
    movable = [run for run in going if run.ran_s >= MIN_RUN_S and run.progress < NEARLY_DONE]
    if not movable:
        return None
    return min(movable, key=lambda run: (limits_of(run.lane).weight, run.progress, run.job)).job
