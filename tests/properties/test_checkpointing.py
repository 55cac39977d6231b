"""The interval between checkpoints against the best of all, found by trying every one."""

from hypothesis import given
from hypothesis import strategies as st

from mezzotint.policy.device.checkpoint_interval import (
    FIRST_STEPS,
    MAX_STEPS,
    PRIOR_S,
    WORK_PER_WRITE,
    bound_steps,
    interval_s,
    interval_steps,
    mtbf_s,
    waste,
)

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
    assert mtbf_s(600.0, 99) < 30.0
    assert interval_steps(0.005, 0.1, mtbf_s(0.0, 0)) == MAX_STEPS
    assert interval_steps(0.005, 0.1, mtbf_s(600.0, 99)) <= 5


def test_the_first_failure_that_is_seen_outweighs_the_prior() -> None:
    assert mtbf_s(120.0, 1) < 2000.0
    assert mtbf_s(10 * PRIOR_S, 1) > 9 * PRIOR_S, "what went well for long counts, too"


@given(WRITE_S, STEP_S)
def test_a_loss_costs_no_more_than_usual_or_writes_are_dear(write_s: float, step_s: float) -> None:
    bound = bound_steps(write_s, step_s)
    assert FIRST_STEPS <= bound <= MAX_STEPS
    assert bound == FIRST_STEPS or bound * step_s <= WORK_PER_WRITE * write_s * 1.0001


@given(st.floats(0.01, 0.5), st.floats(0.1, 2), st.integers(1, 20))
def test_a_spot_worker_never_draws_without_checkpoints(write_s: float, step_s: float, num_ends: int) -> None:
    """A machine that is taken away every two minutes, as its record tells after so many ends."""
    chosen = interval_steps(write_s, step_s, mtbf_s(120.0 * num_ends, num_ends), bound_steps(write_s, step_s))
    assert chosen <= max(FIRST_STEPS, WORK_PER_WRITE * write_s / step_s)
