"""The dial's arithmetic."""

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.dial import (
    MAX_BY,
    MAX_FOR,
    MIN_BY,
    MIN_FACTOR,
    Tightening,
    find_tightening_fault,
    threshold_factors,
    tighten_threshold,
    tighten_thresholds,
)
from mezzotint.policy.safety.verdicts import SafetyVerdict, Thresholds
from tests.making import NOW

HOUR = timedelta(hours=1)
SHARES = some.floats(MIN_BY, MAX_BY)
CATEGORIES = some.sampled_from([None, *SafetyCategory])
HOURS = some.integers(-48, 48)


def make_tightening(category: SafetyCategory | None, by: float, starts: int = 0, lasts: int = 24) -> Tightening:
    starts_at = NOW + starts * HOUR
    return Tightening(
        id="tgt_1",
        category=category,
        by=by,
        starts_at=starts_at,
        ends_at=starts_at + lasts * HOUR,
        author="ops/sub:ops",
        reason="an incident",
    )


TIGHTENINGS = some.lists(some.builds(make_tightening, CATEGORIES, SHARES, HOURS, some.integers(1, 48)), max_size=4)


@given(threshold=some.floats(0, 1), by=SHARES)
def test_a_threshold_tightened_by_a_share_loses_that_share(threshold: float, by: float) -> None:
    factor = threshold_factors([make_tightening(None, by)], NOW)[SafetyCategory.HATE]
    assert tighten_threshold(threshold, factor) == pytest.approx(threshold * max(1 - by, MIN_FACTOR))
    assert 0 <= tighten_threshold(threshold, factor) <= threshold


@given(found=TIGHTENINGS)
def test_overlapping_tightenings_compose_in_any_order_and_never_loosen(found: list[Tightening]) -> None:
    factors = threshold_factors(found, NOW)
    assert all(MIN_FACTOR <= factor <= 1 for factor in factors.values())
    for order in permutations(found):
        assert threshold_factors(order, NOW) == pytest.approx(factors)
    for number in range(len(found)):
        without = threshold_factors(found[:number] + found[number + 1 :], NOW)
        assert all(factors[name] <= without[name] + 1e-9 for name in factors)


@given(found=TIGHTENINGS, hours=HOURS)
def test_a_tightening_gives_back_by_itself_when_its_time_is_over(found: list[Tightening], hours: int) -> None:
    now = NOW + hours * HOUR
    left = [one for one in found if one.starts_at <= now < one.ends_at]
    assert threshold_factors(found, now) == threshold_factors(left, now)
    assert set(threshold_factors(found, NOW + 1000 * HOUR).values()) == {1}


def test_one_category_is_tightened_alone_and_all_of_them_with_the_score_that_names_none() -> None:
    of_one = threshold_factors([make_tightening(SafetyCategory.VIOLENCE, 0.5)], NOW)
    assert {name for name, factor in of_one.items() if factor != 1} == {SafetyCategory.VIOLENCE}
    of_all = threshold_factors([make_tightening(None, 0.5), make_tightening(SafetyCategory.VIOLENCE, 0.5)], NOW)
    assert (of_all[ANY], of_all[SafetyCategory.VIOLENCE]) == (0.5, 0.25)
    assert SafetyCategory.SEXUAL_MINORS not in of_all, "it has no threshold"


def test_each_verdicts_threshold_of_a_category_is_tightened_and_those_without_one_stay_without() -> None:
    policy = {"hate": Thresholds(review=0.4, block=0.8), "sexual": Thresholds(block=0.8)}
    tight = tighten_thresholds(policy, {"hate": 0.5})
    assert tight == {"hate": Thresholds(review=0.2, block=0.4), "sexual": Thresholds(block=0.8)}
    assert policy["hate"].judge(0.5) is SafetyVerdict.REVIEW
    assert tight["hate"].judge(0.5) is SafetyVerdict.BLOCK


@pytest.mark.parametrize(
    ("category", "by", "lasts"),
    [
        (SafetyCategory.SEXUAL_MINORS, 0.1, HOUR),
        (None, 0.0, HOUR),
        (None, 1.0, HOUR),
        (None, -0.1, HOUR),
        (None, float("nan"), HOUR),
        (None, 0.1, timedelta()),
        (None, 0.1, MAX_FOR + HOUR),
    ],
)
def test_a_tightening_that_cannot_be_is_explained(category: SafetyCategory | None, by: float, lasts: timedelta) -> None:
    assert find_tightening_fault(category, by, lasts)


def test_ten_percent_for_a_day_can_be() -> None:
    assert not find_tightening_fault(None, 0.1, 24 * HOUR)
