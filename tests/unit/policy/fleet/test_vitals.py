from datetime import timedelta
from typing import Any

from mezzotint.domain.fleet.vitals import WorkerReport
from mezzotint.domain.ids import WorkerId
from mezzotint.policy.fleet.vitals import ReportingWorker, read_vitals
from tests.making import NOW


def worker(name: str, *, age_s: float = 0, device: str = "", step_s: float = 0.1, **more: Any) -> ReportingWorker:
    seen_at, report = NOW - timedelta(seconds=age_s), WorkerReport(num_runs=10, step_s={"m": step_s, name: 9.0})
    return ReportingWorker(id=WorkerId(name), pool="p", device=device or name, seen_at=seen_at, report=report, **more)


def test_a_worker_is_compared_with_the_others_that_are_here() -> None:
    mine = worker("slow", step_s=0.4, age_s=3)
    vitals = read_vitals(mine, [mine, worker("a"), worker("b", step_s=0.2), worker("gone", age_s=300)], NOW)
    assert vitals.step_ratio is not None
    assert (round(vitals.step_ratio, 3), vitals.num_compared) == (round(0.4 / 0.15, 3), 2)
    assert (vitals.heartbeat_age_s, vitals.others.num_runs, vitals.num_crashes) == (3, 20, 0)
    assert read_vitals(mine, [mine], NOW).step_ratio is None


def test_workers_of_a_device_that_ended_without_a_word_are_crashes() -> None:
    mine = worker("third", device="gpu")
    before = [
        worker("crashed", device="gpu", age_s=120),
        worker("stopped", device="gpu", age_s=120, has_stopped=True),
        worker("long ago", device="gpu", age_s=3600),
        worker("elsewhere", age_s=120),
    ]
    assert read_vitals(mine, [mine, *before], NOW).num_crashes == 1


def test_a_worker_is_compared_within_its_version_and_alone_in_it_says_nothing_about_its_device() -> None:
    old = [worker("a"), worker("b")]
    new = worker("new", version="2", step_s=0.4)
    alone = read_vitals(new, [new, *old], NOW)
    assert (alone.runs.num_runs, alone.others.num_runs, alone.step_ratio) == (0, 0, None)
    beside = read_vitals(new, [new, worker("new-2", version="2", step_s=0.2), *old], NOW)
    assert (beside.runs.num_runs, beside.others.num_runs) == (10, 10)
    assert beside.step_ratio == 2.0
