"""Statistics of the evaluations: bootstrap intervals, ROC curves, rank correlation, agreement. Pure functions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_RESAMPLES = 2_000
CONFIDENCE = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


def share_interval(num_hits: int, num_all: int, *, seed: int = 0) -> Interval:
    """Percentile bootstrap of a share of independent trials.

    Resamples of 0 or of all hits never vary, so that their bootstrap interval has no width: the open end is the exact
    (Clopper-Pearson) bound there.

    Raises: ValueError where there are no trials.
    """
    if not 0 <= num_hits <= num_all or num_all == 0:
        raise ValueError(f"{num_hits} of {num_all} is no share")
    tail = (1 - CONFIDENCE) / 2
    if num_hits in (0, num_all):
        reach = float(tail ** (1 / num_all))
        return Interval(0.0, 1 - reach) if num_hits == 0 else Interval(reach, 1.0)
    draws = np.random.default_rng(seed).binomial(num_all, num_hits / num_all, NUM_RESAMPLES) / num_all
    return _percentiles(draws)


def clustered_share_interval(hits: ArrayLike, sizes: ArrayLike, *, seed: int = 0) -> Interval:
    """Bootstrap of a share whose trials come in clusters that go together, such as disguises of one prompt.

    hits, sizes: of each cluster. Whole clusters are resampled; where no trial of any differs from the others, the end
    that does not vary is the exact bound of as many trials as there are clusters.
    """
    hits_of, sizes_of = np.asarray(hits, np.int64), np.asarray(sizes, np.int64)
    num_hits, num_all = int(hits_of.sum()), int(sizes_of.sum())
    if num_hits in (0, num_all) or len(sizes_of) == num_all:
        return share_interval(len(sizes_of) if num_hits == num_all else num_hits, len(sizes_of), seed=seed)
    rows = np.random.default_rng(seed).integers(len(sizes_of), size=(NUM_RESAMPLES, len(sizes_of)))
    return _percentiles(hits_of[rows].sum(1) / sizes_of[rows].sum(1))


def bootstrap_interval(
    statistic: Callable[..., float], *samples: ArrayLike, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap of a statistic of paired samples. samples: arrays of one length, resampled together.

    A resample whose statistic is not a number (a constant one has no correlation) is left out.

    Raises: ValueError where the samples are empty or of unequal length.
    """
    arrays = [np.asarray(sample) for sample in samples]
    num = len(arrays[0])
    if num == 0 or any(len(array) != num for array in arrays):
        raise ValueError("a bootstrap needs samples of one length, and not empty ones")
    rng = np.random.default_rng(seed)
    draws = (rng.integers(num, size=num) for _ in range(num_resamples))
    found = np.array([statistic(*(array[rows] for array in arrays)) for rows in draws], dtype=np.float64)
    return _percentiles(found[np.isfinite(found)])


def _percentiles(draws: Floats) -> Interval:
    if len(draws) == 0:
        return Interval(float("nan"), float("nan"))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Interval(float(low), float(high))


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Points from (0, 0) to (1, 1), one a distinct score, highest first.

    false_positives, true_positives: shares of the negatives and positives at or above `thresholds`, [num_points].
    """

    thresholds: Floats
    false_positives: Floats
    true_positives: Floats

    @property
    def area(self) -> float:
        """The chance that a positive scores above a negative; ties count half."""
        return float(np.trapezoid(self.true_positives, self.false_positives))


def roc_curve(negatives: ArrayLike, positives: ArrayLike) -> RocCurve:
    """Raises: ValueError where either side is empty or holds a score that is not a number."""
    below, above = np.asarray(negatives, np.float64), np.asarray(positives, np.float64)
    if len(below) == 0 or len(above) == 0 or not (np.isfinite(below).all() and np.isfinite(above).all()):
        raise ValueError("a ROC curve needs finite scores of both classes")
    thresholds = np.unique(np.concatenate([below, above]))[::-1]
    shares = [_shares_at(np.sort(scores), thresholds) for scores in (below, above)]
    return RocCurve(np.concatenate([[np.inf], thresholds]), *(np.concatenate([[0.0], share]) for share in shares))


def _shares_at(ordered: Floats, thresholds: Floats) -> Floats:
    """The share of scores at or above each threshold. ordered: ascending."""
    return 1 - np.searchsorted(ordered, thresholds, side="left") / len(ordered)


def threshold_at(negatives: ArrayLike, max_share: float) -> float:
    """The lowest threshold that at most this share of the negatives reaches. A score at a threshold reaches it."""
    scores = np.sort(np.asarray(negatives, np.float64))
    candidates = np.unique(scores)
    fitting = candidates[_shares_at(scores, candidates) <= max_share]
    if len(fitting):
        at = np.searchsorted(candidates, fitting[0])
        # Just above the highest negative that must not be reached: a tie is the negative's.
        return float(np.nextafter(candidates[at - 1], np.inf)) if at else float(fitting[0])
    return float(np.nextafter(candidates[-1], np.inf)) if len(candidates) else -np.inf


def best_threshold(curve: RocCurve) -> float:
    """The threshold with the largest distance between true and false positives (Youden's J)."""
    at = int(np.argmax(curve.true_positives - curve.false_positives))
    return float(curve.thresholds[max(at, 1)])


def rank(values: ArrayLike) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks."""
    array = np.asarray(values, np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], np.float64)


def spearman(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's rank correlation; NaN where either side is constant."""
    first, second = rank(one), rank(other)
    first, second = first - first.mean(), second - second.mean()
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / spread) if spread else float("nan")


def weighted_kappa(one: ArrayLike, other: ArrayLike, *, lowest: int = 1, highest: int = 5) -> float:
    """Cohen's kappa with quadratic weights, of two raters' whole grades; NaN where both gave one grade only."""
    first = np.clip(np.rint(np.asarray(one, np.float64)).astype(int), lowest, highest) - lowest
    second = np.clip(np.rint(np.asarray(other, np.float64)).astype(int), lowest, highest) - lowest
    num = highest - lowest + 1
    observed = np.zeros((num, num))
    np.add.at(observed, (first, second), 1)
    expected = np.outer(observed.sum(1), observed.sum(0)) / observed.sum()
    grades = np.arange(num)
    weights = (grades[:, None] - grades[None, :]) ** 2
    chance = float((weights * expected).sum())
    return 1 - float((weights * observed).sum()) / chance if chance else float("nan")
