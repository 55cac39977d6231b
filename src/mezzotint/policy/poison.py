"""Decide whether a job ends the workers that run it (a poison pill), or only met workers that ended for other reasons.

The first end leaves all jobs of the worker as suspects: each runs alone next. The second end of a suspect's worker is
certain evidence only as long as no worker ended lately without this job. Where others did (machines are taken away, an
operator kills processes), the job has one more try, alone again. The third end decides whatever happened elsewhere, so
that a true pill ends three workers at the most, none of them with company after the first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from mezzotint.domain.ids import JobId, WorkerId

CERTAIN_LOSSES, MAX_LOSSES = 2, 3
"""Worker ends after which a job is given up: while workers end under nothing else, and in any case."""
LATELY = timedelta(minutes=10)
"""The time for which the end of a worker tells that workers end for other reasons."""
SAME_END = timedelta(minutes=1)
"""The leases of one worker end within this time; a later loss under its name is another end (it was started again)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoss:
    """A job that a worker left behind when it ended."""

    worker: WorkerId
    job: JobId
    at: datetime


def is_poison_pill(num_losses: int, num_other_ends: int) -> bool:
    """Tell whether a job is to be given up. num_losses: workers that ended under it since it last got further.

    num_other_ends: of workers lately while they did not run it.
    """
    return num_losses >= (MAX_LOSSES if num_other_ends > 0 else CERTAIN_LOSSES)


def count_other_ends(loss: WorkerLoss, lately: Iterable[WorkerLoss]) -> int:
    """Count the ends of workers that did not run the lost job. lately: losses of all jobs, in any order."""
    since = loss.at - LATELY
    by_worker: dict[WorkerId, list[WorkerLoss]] = {loss.worker: [loss]}
    for one in lately:
        if one.at >= since:
            by_worker.setdefault(one.worker, []).append(one)
    ends = [end for losses in by_worker.values() for end in _split_by_end(losses)]
    return sum(all(one.job != loss.job for one in end) for end in ends)


def _split_by_end(losses: list[WorkerLoss]) -> list[list[WorkerLoss]]:
    """The losses of one worker's name, one list for each of its ends."""
    ordered = sorted(losses, key=lambda one: one.at)
    ends = [ordered[:1]]
    for before, after in pairwise(ordered):
        if after.at - before.at > SAME_END:
            ends.append([])
        ends[-1].append(after)
    return ends
