"""Choose the number of steps between checkpoints: few waste time on writing, many waste steps when a worker dies.

J. W. Young, "A first order approximation to the optimum checkpoint interval" (CACM 1974): sqrt(2 C M) for a write that
costs C while failures are M apart. J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart
dumps" (FGCS 2006), equation 37, refines it where C is not small beside M.
"""

from math import ceil, expm1, floor, inf, sqrt

MAX_STEPS = 40
"""Half of the largest step budget: whatever was measured, a long picture is saved at least once."""
FIRST_STEPS = 10
"""The interval while no write has been measured, and the longest one afterwards, as long as writes are cheap: the first
failure is always a surprise, and costs at most so many steps of each run."""
WORK_PER_WRITE = 4.0
"""Writes are cheap that take no more than a fifth of the time, beside the drawing."""
PRIOR_S = 86_400.0
"""The prior, before anything was observed: one failure a day."""
PRIOR_FAILURES = 0.02
"""Weight of the prior. One failure that is seen outweighs it: machines that are taken away every few minutes must not
be trusted for days."""


def mtbf_s(ran_s: float, num_failures: float) -> float:
    """Mean time between failures of a worker that ran so long and failed so often."""
    return (PRIOR_FAILURES * PRIOR_S + ran_s) / (PRIOR_FAILURES + num_failures)


def bound_steps(write_s: float, step_s: float) -> int:
    """Most steps between two writes, whatever is known of failures. Both positive."""
    return min(max(FIRST_STEPS, floor(min(WORK_PER_WRITE * write_s / step_s, MAX_STEPS))), MAX_STEPS)


def interval_s(write_s: float, mtbf_s: float) -> float:
    """Seconds of work between two writes, each costing `write_s`. Both positive."""
    if write_s >= 2.0 * mtbf_s:
        return mtbf_s
    part = write_s / (2.0 * mtbf_s)
    return sqrt(2.0 * write_s * mtbf_s) * (1.0 + sqrt(part) / 3.0 + part / 9.0) - write_s


def interval_steps(write_s: float, step_s: float, mtbf_s: float, max_steps: int = MAX_STEPS) -> int:
    """The same in whole steps of `step_s`, from 1 to `max_steps`: of the two beside the optimum the one that wastes
    less."""
    steps = interval_s(write_s, mtbf_s) / step_s if step_s > 0 else inf
    if steps >= max_steps:
        return max_steps
    beside = {max(1, floor(steps)), min(max_steps, max(1, ceil(steps)))}
    return min(beside, key=lambda number: waste(number, write_s, step_s, mtbf_s))


def waste(num_steps: int, write_s: float, step_s: float, mtbf_s: float) -> float:
    """Expected seconds that a second of useful work takes, less one, when failures come as a Poisson process and each
    goes back to the last checkpoint."""
    work_s = num_steps * step_s
    try:
        return mtbf_s * expm1((work_s + write_s) / mtbf_s) / work_s - 1.0
    except OverflowError:
        return inf
