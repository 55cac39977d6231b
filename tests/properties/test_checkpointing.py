"""The interval between checkpoints against the best of all, found by trying every one."""

from hypothesis import given
from hypothesis import strategies as st

from mezzotint.policy.device.checkpoint_interval import MAX_STEPS, PRIOR_S, interval_s, interval_steps, mtbf_s, waste

WRITE_S = st.floats(1e-4, 30)
STEP_S = st.floats(1e-3, 30)
MTBF_S = st.floats(1, 1e7)


@given(WRITE_S, STEP_S, MTBF_S, st.integers(1, 80))
def test_no_other_interval_wastes_noticeably_less(write_s: float, step_s: float, mtbf: float, most: int) -> None:
    chosen = interval_steps(write_s, step_s, mtbf, most)
    assert 1 <= chosen <= most
    best = min(waste(number, write_s, step_s, mtbf) for number in range(1, most + 1))
    assert 1 + waste(chosen, write_s, step_s, mtbf) <= 1.005 * (1 + best)


@given(WRITE_S, MTBF_S)
def test_dearer_writes_are_rarer_and_more_failures_make_them_more_frequent(write_s: float, mtbf: float) -> None:
    assert interval_s(2 * write_s, mtbf) >= interval_s(write_s, mtbf) * 0.999 or write_s > mtbf / 2
    assert interval_s(write_s, 2 * mtbf) >= interval_s(write_s, mtbf)


def test_young_holds_where_a_write_is_nothing_beside_the_time_between_failures() -> None:
    assert abs(interval_s(0.01, 50_000.0) / (2 * 0.01 * 50_000.0) ** 0.5 - 1) < 0.001


def test_what_is_observed_takes_the_place_of_what_is_believed() -> None:
    assert mtbf_s(0.0, 0) == PRIOR_S
    assert mtbf_s(10 * PRIOR_S, 0) > 10 * PRIOR_S
    assert mtbf_s(600.0, 99) < 900.0
    assert interval_steps(0.005, 0.1, mtbf_s(0.0, 0)) == MAX_STEPS
    assert interval_steps(0.005, 0.1, mtbf_s(600.0, 999)) < 12
