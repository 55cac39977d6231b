"""Decide whether a step is foretold. Pure: numbers in, a decision out.

A straight line through a run's last two answers misses the next one by their curvature times the distances in time to
both. How much the line through the two answers before missed the last one tells the curvature: it was measured, not
assumed, and it needs nothing but answers that were computed anyway.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mezzotint.engine.forecasting.settings import ForecastSettings

RENEWED = 1 / 3
"""The share of an expected error that counts where a sampler draws fresh noise at each step, which takes the place of
much that the error changed. So one bound gives pictures about as near with Euler a as with DDIM."""

LASTING = 4.0
"""An error that no pass makes good (`correct.py`) counts four times, so that one bound gives pictures about as near
with any sampler."""
EARLY_SHARE = 1 / 4
EARLY_WEIGHT = 8.0
"""An error in the first quarter of the steps counts eight times: there a picture's layout is decided. At one seed in
300 of the starter model an error at step 0 of 50 arrived in the picture a hundred times as large as at others, at step
10 fifteen times, at step 20 four times."""


@dataclass(frozen=True, slots=True)
class Line:
    """A call position's last two answers. before, last: their times. miss: norm of the difference between the last
    answer and the line through the two before it. reach: product of the distances in time that belongs to `miss`.
    size: norm of the last answer. largest: greatest magnitude in both, and in the sample where `gain` is not 1. gain:
    factor from an error in the quantity that is extrapolated to one in the answer. limit: greatest number of the
    answer's dtype.
    """

    before: float
    last: float
    miss: float
    reach: float
    size: float
    largest: float
    gain: float
    limit: float

    def stretch(self, at: float) -> float:
        """Distance from the last answer to `at`, in distances between the two answers."""
        return (at - self.last) / (self.last - self.before)

    def error_at(self, at: float) -> float:
        return self.gain * self.miss * abs((at - self.last) * (at - self.before)) / self.reach

    def stays_finite(self, at: float) -> bool:
        """Say whether the extrapolated answer is a number of its dtype for certain; False where one seen was none."""
        return self.largest * (1 + 2 * abs(self.stretch(at))) * max(1.0, self.gain) * 4 < self.limit


def expect_error(lines: Sequence[Line], at: float) -> float:
    """The relative error that answers extrapolated to the time `at` are expected to have, all calls of a step together.

    Infinite where it cannot be told, or where an answer might not be finite.
    """
    if not lines or not all(line.stays_finite(at) for line in lines):
        return math.inf
    size = math.hypot(*(line.size for line in lines))
    error = math.hypot(*(line.error_at(at) for line in lines)) / size if size > 0 else math.inf
    return error if math.isfinite(error) else math.inf


def weigh_error(error: float, *, step: int, num_steps: int, lasts: bool) -> float:
    """The expected error of a step as it counts against the bound. step: of its sampler, from 0. lasts: no pass makes
    it good."""
    return error * (EARLY_WEIGHT if step < EARLY_SHARE * num_steps else 1.0) * (LASTING if lasts else 1.0)


def is_eligible(settings: ForecastSettings, *, step: int, steps_left: int, in_row: int) -> bool:
    """Say whether the step may be foretold at all. step: of its sampler, from 0. steps_left: this one included."""
    return step >= settings.first_steps and steps_left > settings.last_steps and in_row < settings.max_in_row
