"""Whether a worker is healthy, a suspect, in quarantine or on probation, and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.domain.fleet.health import HEALTH_TRANSITIONS, HealthVerdict
from mezzotint.policy.fleet.health import (
    HEALTH_RULES,
    HealthRecord,
    HealthSignal,
    RunCounts,
    WorkerVitals,
    find_signs,
    judge_health,
    quarantine_time,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEALTHY, SUSPECT, QUARANTINED, PROBATION = HealthVerdict
WELL = WorkerVitals(runs=RunCounts(num_runs=100), others=RunCounts(num_runs=300))


def runs(num: int, *, failed: int = 0, nan: int = 0, others: RunCounts | None = None) -> WorkerVitals:
    mine = RunCounts(num_runs=num, num_failed=failed, num_not_finite=nan)
    return WorkerVitals(runs=mine, others=others or RunCounts(num_runs=300))


SIGNS: list[tuple[str, WorkerVitals, HealthSignal | None, bool]] = [
    ("nothing", WELL, None, False),
    ("one NaN in 300", runs(300, nan=1), HealthSignal.NOT_FINITE, False),
    ("one NaN in ten", runs(10, nan=1), HealthSignal.NOT_FINITE, False),
    ("two NaNs in 100", runs(100, nan=2), HealthSignal.NOT_FINITE, True),
    ("NaN everywhere: the model's", runs(100, nan=5, others=RunCounts(num_runs=300, num_not_finite=9)), None, False),
    ("failures", runs(40, failed=3), HealthSignal.FAILURES, False),
    ("many failures", runs(10, failed=4), HealthSignal.FAILURES, True),
    ("two of three", runs(3, failed=2), HealthSignal.FAILURES, False),
    ("failures everywhere", runs(10, failed=4, others=RunCounts(num_runs=30, num_failed=6)), None, False),
    ("a late heartbeat", replace(WELL, heartbeat_age_s=11.0), HealthSignal.HEARTBEAT, False),
    ("slow", replace(WELL, step_ratio=1.6), HealthSignal.STEP_TIME, False),
    ("very slow", replace(WELL, step_ratio=3.5, num_compared=2), HealthSignal.STEP_TIME, True),
    ("slower than the one other", replace(WELL, step_ratio=9.0, num_compared=1), HealthSignal.STEP_TIME, False),
    ("full", replace(WELL, memory_share=0.99), HealthSignal.MEMORY, False),
    ("a memory error", replace(WELL, device_errors=1), HealthSignal.DEVICE_ERRORS, True),
    ("warm", replace(WELL, temperature_c=90.0), HealthSignal.TEMPERATURE, False),
    ("hot", replace(WELL, temperature_c=97.0), HealthSignal.TEMPERATURE, True),
    ("one crash", replace(WELL, num_crashes=1), HealthSignal.CRASHES, False),
    ("three crashes", replace(WELL, num_crashes=3), HealthSignal.CRASHES, True),
]


@pytest.mark.parametrize(("why", "vitals", "signal", "is_grave"), SIGNS, ids=[one[0] for one in SIGNS])
def test_a_sign_is_slight_or_grave(why: str, vitals: WorkerVitals, signal: HealthSignal | None, is_grave: bool) -> None:
    found = [(sign.signal, sign.is_grave) for sign in find_signs(vitals)]
    assert found == ([] if signal is None else [(signal, is_grave)])
    after = judge_health(HealthRecord(since=NOW), vitals, NOW)
    assert after.record.verdict is (HEALTHY if signal is None else QUARANTINED if is_grave else SUSPECT)


def test_the_reason_names_the_gravest_sign_first() -> None:
    judged = judge_health(HealthRecord(since=NOW), replace(runs(100, nan=3), temperature_c=90.0), NOW)
    assert judged.reason == "3 of 100 runs were not finite, 0.0% of the others'; its device has 90 °C"


def test_a_suspect_is_healthy_after_a_calm_minute_and_not_before() -> None:
    record = judge_health(HealthRecord(since=NOW), replace(WELL, step_ratio=2.0), NOW).record
    again = judge_health(record, replace(WELL, step_ratio=2.0), NOW + timedelta(seconds=30)).record
    assert again.verdict is SUSPECT
    assert judge_health(again, WELL, NOW + timedelta(seconds=80)).record.verdict is SUSPECT
    assert judge_health(again, WELL, NOW + timedelta(seconds=90)).record.verdict is HEALTHY


def test_after_quarantine_comes_probation_and_one_sign_there_doubles_the_next_quarantine() -> None:
    bad, now = replace(WELL, device_errors=2), NOW
    record = judge_health(HealthRecord(since=NOW), bad, now).record
    for number in (1, 2, 3):
        assert (record.verdict, record.num_quarantines) == (QUARANTINED, number)
        lasts = timedelta(seconds=HEALTH_RULES.quarantine_s * 2 ** (number - 1))
        assert judge_health(record, WELL, now + lasts - timedelta(seconds=1)).record.verdict is QUARANTINED
        now += lasts
        record = judge_health(record, bad, now).record
        assert record.verdict is PROBATION, "its old errors are not looked at in quarantine"
        record = judge_health(record, replace(WELL, runs=RunCounts(), step_ratio=1.6), now).record
    assert quarantine_time(50) == timedelta(seconds=HEALTH_RULES.max_quarantine_s)


def test_probation_ends_by_runs_or_by_time() -> None:
    record = HealthRecord(verdict=PROBATION, since=NOW, num_quarantines=1)
    few = WorkerVitals(runs=RunCounts(num_runs=49))
    assert judge_health(record, few, NOW).record.verdict is PROBATION
    assert judge_health(record, WorkerVitals(runs=RunCounts(num_runs=50)), NOW).record.verdict is HEALTHY
    assert judge_health(record, few, NOW + timedelta(seconds=900)).record.verdict is HEALTHY


def test_an_old_quarantine_is_forgotten_after_a_day() -> None:
    bad, record = replace(WELL, device_errors=1), HealthRecord(since=NOW, num_quarantines=4)
    assert judge_health(record, bad, NOW + timedelta(hours=1)).record.num_quarantines == 5
    assert judge_health(record, bad, NOW + timedelta(hours=25)).record.num_quarantines == 1


vitals = st.builds(
    WorkerVitals,
    heartbeat_age_s=st.floats(0, 100),
    runs=st.integers(0, 200).flatmap(
        lambda num: st.builds(
            RunCounts, num_runs=st.just(num), num_failed=st.integers(0, num), num_not_finite=st.integers(0, num)
        )
    ),
    step_ratio=st.none() | st.floats(0.1, 10),
    num_compared=st.integers(0, 4),
    device_errors=st.integers(0, 1),
    temperature_c=st.none() | st.floats(20, 110),
    num_crashes=st.integers(0, 4),
)


@settings(max_examples=50)
@given(st.lists(st.tuples(vitals, st.floats(0, 2000)), max_size=12))
def test_verdicts_change_as_the_table_says_and_never_skip_probation(story: list[tuple[WorkerVitals, float]]) -> None:
    record, now = HealthRecord(since=NOW), NOW
    for seen, after_s in story:
        now += timedelta(seconds=after_s)
        after = judge_health(record, seen, now).record
        assert after.verdict is record.verdict or after.verdict in HEALTH_TRANSITIONS[record.verdict]
        if record.verdict is QUARANTINED and after.verdict is not QUARANTINED:
            assert now - record.since >= quarantine_time(record.num_quarantines)
        record = after
