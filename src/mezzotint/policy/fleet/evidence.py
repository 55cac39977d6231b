"""Exact tests of whether more runs fail than chance explains."""

import math


def binomial_tail(num_hits: int, num_all: int, share: float) -> float:
    """Probability of at least so many hits in independent trials that each hit with the share.

    num_hits: 0 to num_all. share: between 0 and 1, both left out.
    """
    hit, miss = math.log(share), math.log1p(-share)
    terms = (_log_choose(num_all, k) + k * hit + (num_all - k) * miss for k in range(num_hits, num_all + 1))
    return min(1.0, sum(map(math.exp, terms)))


def fisher_tail(hits: int, trials: int, other_hits: int, other_trials: int) -> float:
    """Probability, were both groups alike, that at least so many of all hits fall on the first (Fisher's exact test,
    one-sided)."""
    all_hits, everything = hits + other_hits, trials + other_trials
    ways = _log_choose(everything, all_hits)
    terms = (
        _log_choose(trials, k) + _log_choose(other_trials, all_hits - k) - ways
        for k in range(hits, min(trials, all_hits) + 1)
        if all_hits - k <= other_trials
    )
    return min(1.0, sum(map(math.exp, terms)))


def _log_choose(count: int, chosen: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(chosen + 1) - math.lgamma(count - chosen + 1)
