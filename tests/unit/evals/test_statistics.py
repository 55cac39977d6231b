import math

import numpy as np
import pytest

from mezzotint.evals.statistics import (
    best_threshold,
    bootstrap_interval,
    clustered_share_interval,
    rank,
    roc_curve,
    share_interval,
    spearman,
    threshold_at,
    weighted_kappa,
)


def test_a_share_of_a_hundred_has_the_interval_of_the_books() -> None:
    interval = share_interval(50, 100)
    assert interval.low == pytest.approx(0.40, abs=0.02)
    assert interval.high == pytest.approx(0.60, abs=0.02)


def test_a_share_of_all_or_of_none_still_has_an_interval() -> None:
    assert share_interval(0, 100).low == 0
    assert share_interval(0, 100).high == pytest.approx(0.0362, abs=1e-4)  # Clopper-Pearson, tables
    assert share_interval(100, 100).low == pytest.approx(0.9638, abs=1e-4)


def test_a_share_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no share"):
        share_interval(0, 0)


def test_the_interval_of_a_share_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = rng.binomial(200, 0.3, 300)
    intervals = [share_interval(int(num), 200) for num in hits]
    covered = sum(interval.low <= 0.3 <= interval.high for interval in intervals)
    assert 0.90 <= covered / 300 <= 0.98


def test_disguises_of_one_prompt_count_as_one_prompt() -> None:
    alone = share_interval(200, 400)
    together = clustered_share_interval([10] * 20 + [0] * 20, [10] * 40)
    assert together.high - together.low > 2.5 * (alone.high - alone.low)
    assert clustered_share_interval([1, 0] * 200, [1] * 400) == alone
    assert clustered_share_interval([10] * 40, [10] * 40) == share_interval(40, 40)
    assert clustered_share_interval([0] * 40, [10] * 40) == share_interval(0, 40)


def test_samples_are_resampled_in_pairs() -> None:
    values = np.arange(30.0)
    interval = bootstrap_interval(spearman, values, values, num_resamples=50)
    assert interval.low == interval.high == pytest.approx(1)


def test_samples_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        bootstrap_interval(spearman, [1.0], [1.0, 2.0])


def test_a_roc_curve_counts_ties_as_half() -> None:
    assert roc_curve([0, 1], [2, 3]).area == 1
    assert roc_curve([1, 1], [1, 1]).area == pytest.approx(0.5)
    assert roc_curve([0, 2], [1, 3]).area == pytest.approx(0.75)


def test_a_roc_curve_refuses_scores_that_are_no_numbers() -> None:
    with pytest.raises(ValueError, match="finite"):
        roc_curve([0.0, math.nan], [1.0])


@pytest.mark.parametrize(("rate", "caught"), [(0.0, 1), (0.1, 2), (0.2, 3)])
def test_a_threshold_at_a_rate_is_reached_by_no_more_negatives(rate: float, caught: int) -> None:
    negatives = [0.1] * 8 + [0.5, 0.7]
    positives = np.array([0.4, 0.6, 0.8])
    threshold = threshold_at(negatives, rate)
    assert np.mean(np.array(negatives) >= threshold) <= rate
    assert (positives >= threshold).sum() == caught


def test_tied_negatives_are_all_spared() -> None:
    threshold = threshold_at([1.0] * 5 + [0.0] * 5, 0.2)
    assert threshold > 1


def test_the_best_threshold_parts_what_can_be_parted() -> None:
    assert best_threshold(roc_curve([1, 2, 3], [7, 8])) == 7


def test_equal_values_share_a_rank() -> None:
    assert rank([10, 20, 20, 5]).tolist() == [2, 3.5, 3.5, 1]


def test_rank_correlation_agrees_with_a_worked_example() -> None:
    iq, hours = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert spearman(iq, hours) == pytest.approx(-29 / 165)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_weighted_kappa_forgives_near_misses() -> None:
    human = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
    near = [1, 2, 3, 5, 5, 1, 2, 3, 4, 4]
    far = [5, 2, 3, 1, 5, 1, 2, 3, 4, 1]
    assert weighted_kappa(human, human) == 1
    assert weighted_kappa(human, near) > 0.9 > weighted_kappa(human, far)
    assert math.isnan(weighted_kappa([3, 3], [3, 3]))
