"""Numbered changes of a job's state, from which a watcher that reconnects catches up."""

from dataclasses import dataclass, replace
from datetime import datetime

from mezzotint.domain.job import CutTexts, Job, JobState, Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    number: int
    state: JobState
    step: int
    at: datetime


def rewind_job(job: Job, change: Change) -> Job:
    """The job as it was after a change that others followed: what came later is taken off."""
    return replace(
        job,
        state=change.state,
        step=change.step,
        started_at=job.started_at if change.state is not JobState.QUEUED or change.number > 1 else None,
        finished_at=None,
        images=(),
        error=None,
        timings=Timings(),
        cut_texts=CutTexts(),
    )
