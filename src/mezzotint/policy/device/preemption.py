"""Choose the run to preempt when a job of a heavier lane waits and lighter lanes hold every slot of a worker.

A worker preempts one run at a time, with a checkpoint, so no work is lost. Runs that just started or are over 80 %
done are never preempted, so every lane gets further with each claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mezzotint.domain.ids import JobId
from mezzotint.domain.tier import Tier, limits_of

MIN_RUN_S = 3.0
"""A claim buys at least this much time: Pro cannot keep a lighter lane from ever getting further."""
NEARLY_DONE = 0.8
"""Share of its steps after which a run ends sooner than a preemption would pay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that a worker runs. ran_s: seconds since it was claimed."""

    job: JobId
    lane: Tier
    step: int
    num_steps: int
    ran_s: float

    @property
    def progress(self) -> float:
        return self.step / max(self.num_steps, 1)


def choose_victim(going: Sequence[RunningJob], waiting: Tier) -> JobId | None:
    """Choose the run that makes room for a job of lane `waiting`: in the lightest lane, the one with most left to do.

    None when a run of that lane or a heavier one has a slot already, or no run can be preempted now.
    """
    if any(limits_of(run.lane).weight >= limits_of(waiting).weight for run in going):
        return None
    movable = [run for run in going if run.ran_s >= MIN_RUN_S and run.progress < NEARLY_DONE]
    if not movable:
        return None
    return min(movable, key=lambda run: (limits_of(run.lane).weight, run.progress, run.job)).job
