"""The share of a pass's miss that makes good the steps foretold before it."""

import diffusers
import pytest

from mezzotint.engine.forecasting.correct import carries_errors, weigh_miss

TIMES = [10.0, 9.0, 7.5, 7.0, 5.0, 4.0, 2.0]


def parabola(time: float) -> float:
    return 3 * time**2 - 5 * time + 2


def foresee(time: float) -> float:
    """By the line through the answers of the second and third step."""
    return parabola(7.5) + (parabola(9.0) - parabola(7.5)) / 1.5 * (time - 7.5)


@pytest.mark.parametrize("num_foretold", [1, 2, 3])
def test_answers_on_a_parabola_add_up_as_if_none_were_foretold(num_foretold: int) -> None:
    step = 3 + num_foretold
    lengths = [begin - end for begin, end in zip(TIMES, [*TIMES[1:], 0.0], strict=True)]
    factor = weigh_miss(TIMES, step, num_foretold, before=9.0, last=7.5)
    foretold = [foresee(time) for time in TIMES[3:step]]
    answer = parabola(TIMES[step]) + factor * (parabola(TIMES[step]) - foresee(TIMES[step]))
    added = sum(length * value for length, value in zip(lengths[3:], [*foretold, answer], strict=False))
    assert added == pytest.approx(sum(lengths[at] * parabola(TIMES[at]) for at in range(3, step + 1)))


def test_a_pass_that_follows_no_foretold_step_is_as_it_is() -> None:
    assert weigh_miss(TIMES, 4, 0, before=7.5, last=7.0) == 0


@pytest.mark.parametrize(
    ("sampler", "carries"),
    [
        (diffusers.DDIMScheduler(), True),
        (diffusers.FlowMatchEulerDiscreteScheduler(), True),
        (diffusers.UniPCMultistepScheduler(), False),
        (diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"), False),
        (diffusers.EulerAncestralDiscreteScheduler(), False),
        (diffusers.HeunDiscreteScheduler(), False),
        (diffusers.LCMScheduler(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_are_made_good_where_the_sampler_carries_them_along(sampler: object, carries: bool) -> None:
    assert carries_errors(sampler, TIMES) is carries


def test_errors_are_not_made_good_where_a_time_comes_twice() -> None:
    assert not carries_errors(diffusers.DDIMScheduler(), [3.0, 2.0, 2.0, 1.0])
