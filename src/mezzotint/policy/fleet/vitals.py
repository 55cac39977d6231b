"""From the reports of all workers to the vitals of one, beside the others of its pool."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from mezzotint.domain.fleet.vitals import WorkerReport
from mezzotint.domain.ids import WorkerId
from mezzotint.policy.fleet.health import RunCounts, WorkerVitals

GONE = timedelta(minutes=1)
"""Without a heartbeat for so long, and without having said that it stops, a worker has crashed."""
LATELY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingWorker:
    """A worker's row. device: its identity, which a restarted worker has again. has_stopped: it said that it holds no
    run and takes none."""

    id: WorkerId
    pool: str
    device: str
    seen_at: datetime
    version: str = ""
    has_stopped: bool = False
    report: WorkerReport = field(default_factory=WorkerReport)

    def is_here(self, now: datetime) -> bool:
        return now - self.seen_at < GONE


def read_vitals(mine: ReportingWorker, everybody: Sequence[ReportingWorker], now: datetime) -> WorkerVitals:
    """The vitals of a worker that is here. everybody: all rows, its own among them.

    It is compared with those of its own version. Where it alone has that version, its runs say nothing about its
    device: a rollout judges them.
    """
    others = [one for one in everybody if one.id != mine.id and one.pool == mine.pool and one.is_here(now)]
    alike = [one for one in others if one.version == mine.version]
    crashed = [one for one in everybody if one.device == mine.device and one.id != mine.id and not one.has_stopped]
    step_ratio, num_compared = _compare_steps(mine.report, [one.report for one in alike])
    return WorkerVitals(
        heartbeat_age_s=max((now - mine.seen_at).total_seconds(), 0.0),
        runs=_sum_runs([mine] if alike or not others else []),
        others=_sum_runs(alike),
        step_ratio=step_ratio,
        num_compared=num_compared,
        memory_share=mine.report.memory_share,
        device_errors=mine.report.device_errors,
        temperature_c=mine.report.temperature_c,
        num_crashes=sum(not one.is_here(now) and now - one.seen_at < LATELY for one in crashed),
    )


def _sum_runs(workers: Sequence[ReportingWorker]) -> RunCounts:
    reports = [worker.report for worker in workers]
    return RunCounts(
        num_runs=sum(one.num_runs for one in reports),
        num_failed=sum(one.num_failed for one in reports),
        num_not_finite=sum(one.num_not_finite for one in reports),
    )


def _compare_steps(mine: WorkerReport, others: Sequence[WorkerReport]) -> tuple[float | None, int]:
    """The worst ratio of a step time to its median elsewhere, for the same model and as many runs at a time, and
    how many others it was compared with; None where nobody else has steps of these kinds."""
    elsewhere = {kind: [one.step_s[kind] for one in others if one.step_s.get(kind)] for kind in mine.step_s}
    ratios = [(mine.step_s[kind] / median(times), len(times)) for kind, times in elsewhere.items() if times]
    return max(ratios, default=(None, 0))
