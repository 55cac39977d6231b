"""Make good, at the next pass, what foretold answers missed. Pure: numbers in, a factor out.

A pass tells how far the line through the two answers before missed its own answer. By the parabola through all three,
the answers that were foretold in between missed a known share of that. A sampler that integrates the answers over time
carries those errors along unchanged: it has added to the sample, for each foretold step, the step's length times the
miss. So the answer of the pass is changed by as much as makes good the sum over its own step.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mezzotint.engine.forecasting.clean import adds_noise

INTEGRATORS = frozenset({"DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"})
"""Samplers each of whose answers counts over its own step alone, by their classes or those that these derive from.
Others weigh answers otherwise: Heun's asks twice a step, and DPM++ 2M sets each answer against the one before, so that
a changed one misleads it."""


def carries_errors(sampler: Any, times: Sequence[float]) -> bool:
    """Say whether errors of its answers add up over its steps. times: of the steps."""
    kinds = {kind.__name__ for kind in type(sampler).__mro__}
    return not adds_noise(sampler) and bool(kinds & INTEGRATORS) and all(a > b for a, b in pairwise(times))


def weigh_miss(times: Sequence[float], step: int, num_foretold: int, before: float, last: float) -> float:
    """Find the factor of a pass's miss that, added to its answer, makes good the steps foretold right before it.

    times: of all steps, falling; the last step ends at 0. step: of the pass. before, last: the times of the two answers
    that the line goes through.
    """
    ends = [*times[1:], 0.0]

    def bend(at: int) -> float:
        return (times[at] - last) * (times[at] - before)

    missed = sum((times[at] - ends[at]) * bend(at) for at in range(step - num_foretold, step))
    return missed / ((times[step] - ends[step]) * bend(step)) if times[step] > ends[step] else 0.0
