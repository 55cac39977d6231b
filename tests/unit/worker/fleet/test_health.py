"""A worker counts its runs, steps and sensors of the last ten minutes."""

from mezzotint.domain.errors import EncodeFailed, ImageBlocked, NotFinite, RunFailed
from mezzotint.domain.fleet.vitals import WorkerReport
from mezzotint.domain.gpu import GpuReading
from mezzotint.worker.fleet.health import MIN_STEPS, STEPS_S, WINDOW_S, HealthCounts


def test_faults_of_the_worker_are_told_from_those_of_requests_and_old_ones_are_forgotten() -> None:
    now = 0.0
    counts = HealthCounts(clock=lambda: now)
    for fault in (None, NotFinite("x"), RunFailed("x"), EncodeFailed("x")):
        counts.record_end(fault)
    assert counts.report() == WorkerReport(num_runs=4, num_failed=2, num_not_finite=1)
    counts.record_end(ImageBlocked("x"))
    now = WINDOW_S + 1
    assert counts.report() == WorkerReport()
    assert (counts.num_runs, counts.num_failed) == (5, 3), "a rollout counts all but the requests' own faults"


def test_steps_are_reported_by_the_number_of_runs_over_the_last_two_minutes_when_they_are_enough() -> None:
    now = 0.0
    counts = HealthCounts(clock=lambda: now)

    def step_for(seconds: int, took: float, num_runs: int) -> None:
        nonlocal now
        for _ in range(seconds):
            for _ in range(num_runs):
                counts.record_step("m", took / 4, 0.25, num_runs)
            now += 1.0

    step_for(int(STEPS_S), 0.9, 1)
    step_for(MIN_STEPS - 1, 0.1, 1)
    assert counts.report().step_s == {"m x 1": 0.9}, "a burst of work is a part of what was measured"
    step_for(MIN_STEPS - 1, 0.8, 7)
    assert set(counts.report().step_s) == {"m x 1"}, "steps beside seven other runs are of another kind, and too few"
    step_for(1, 0.8, 5)
    assert counts.report().step_s["m x 8"] == 0.8
    now += STEPS_S
    assert not counts.report().step_s


def test_errors_of_a_device_count_from_the_start_of_the_worker() -> None:
    counts = HealthCounts()
    for errors in (5, 7):
        reading = GpuReading(used_bytes=3, total_bytes=4, temperature_c=61, uncorrected_errors=errors)
        counts.record_sensors(reading)
    report = counts.report()
    assert (report.memory_share, report.temperature_c, report.device_errors) == (0.75, 61, 2)


def test_the_pace_of_a_model_follows_its_runs_and_is_reported() -> None:
    counts = HealthCounts()
    counts.record_pace("m", 10.0, 5.0)
    counts.record_pace("m", 10.0, 6.0)
    counts.record_pace("nothing done", 0.0, 1.0)
    assert list(counts.report().pace_s) == ["m"]
    assert 0.5 < counts.report().pace_s["m"] < 0.6
