"""The decision whether a step is foretold, by numbers alone."""

import math
from typing import Any

import pytest

from mezzotint.engine import ForecastSettings
from mezzotint.engine.forecasting.decide import Line, expect_error, is_eligible, weigh_error


def line(**changes: Any) -> Line:
    """Of the answers t^2 at the times 0, 1 and 2: the line through the first two missed the third by 3 - 1 = 2."""
    fields: dict[str, Any] = {
        "before": 1.0,
        "last": 2.0,
        "miss": 2.0,
        "reach": 2.0,
        "size": 4.0,
        "largest": 4.0,
        "gain": 1.0,
        "limit": 65504.0,
    }
    return Line(**(fields | changes))


def test_the_expected_error_of_answers_on_a_parabola_is_the_true_one() -> None:
    for at in (3.0, 4.5):
        foretold = 4 + 3 * (at - 2)
        assert expect_error([line()], at) == pytest.approx(abs(at**2 - foretold) / 4)


def test_the_calls_of_a_step_count_together_as_the_rows_of_one_call_would() -> None:
    together = expect_error([line(miss=3.0, size=6.0), line(miss=4.0, size=8.0)], 3.0)
    assert together == pytest.approx(expect_error([line(miss=5.0, size=10.0)], 3.0))


def test_an_error_in_the_clean_picture_counts_as_what_it_becomes_in_the_answer() -> None:
    assert expect_error([line(gain=3.0)], 3.0) == pytest.approx(3 * expect_error([line()], 3.0))


@pytest.mark.parametrize(
    "seen",
    [{"miss": math.nan}, {"miss": math.inf}, {"largest": math.nan}, {"largest": math.inf}, {"size": math.nan}],
    ids=str,
)
def test_an_answer_with_numbers_that_are_none_is_not_extrapolated(seen: dict[str, float]) -> None:
    assert expect_error([line(**seen)], 3.0) == math.inf


def test_an_answer_that_could_leave_the_range_of_its_dtype_is_not_extrapolated() -> None:
    assert expect_error([line(largest=5000.0)], 3.0) < math.inf
    assert expect_error([line(largest=6000.0)], 3.0) == math.inf


def test_answers_of_zero_and_no_answers_give_no_forecast() -> None:
    assert expect_error([line(miss=0.0, size=0.0)], 3.0) == math.inf
    assert expect_error([], 3.0) == math.inf


@pytest.mark.parametrize(
    ("step", "steps_left", "in_row", "expected"),
    [(3, 3, 0, True), (2, 20, 0, False), (10, 2, 0, False), (10, 10, 5, False), (10, 10, 4, True), (10, 0, 0, False)],
)
def test_first_and_last_steps_and_long_rows_take_passes(
    step: int, steps_left: int, in_row: int, expected: bool
) -> None:
    settings = ForecastSettings(bound=0.1)
    assert is_eligible(settings, step=step, steps_left=steps_left, in_row=in_row) is expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"bound": 0.0},
        {"bound": math.nan},
        {"bound": math.inf},
        {"max_in_row": 0},
        {"first_steps": 0},
        {"last_steps": 0},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ForecastSettings(**({"bound": 0.1} | wrong))


def test_an_error_in_the_first_quarter_of_the_steps_counts_eight_times() -> None:
    weights = [weigh_error(0.01, step=step, num_steps=10, lasts=False) for step in range(10)]
    assert weights == [0.08] * 3 + [0.01] * 7


def test_an_error_that_no_pass_makes_good_counts_four_times() -> None:
    assert weigh_error(0.01, step=5, num_steps=10, lasts=True) == 0.04
