"""Scores and thresholds become a verdict."""

import math

from hypothesis import given
from hypothesis import strategies as st

from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.verdicts import ALLOWED, SafetyVerdict, Thresholds, decide

ALL_THREE = Thresholds(review=0.2, blur=0.5, block=0.8)


def test_a_score_reaches_the_most_severe_verdict_whose_threshold_it_meets() -> None:
    judged = [ALL_THREE.judge(score) for score in (0.0, 0.2, 0.5, 0.79, 0.8, 1.0)]
    allow, review, blur, block = SafetyVerdict
    assert judged == [allow, review, blur, blur, block, block]


def test_a_score_that_is_not_a_number_never_passes() -> None:
    assert ALL_THREE.judge(math.nan) is SafetyVerdict.BLOCK
    assert Thresholds(review=0.9).judge(math.nan) is SafetyVerdict.REVIEW


def test_the_category_furthest_above_its_threshold_is_named() -> None:
    thresholds = {"hate": Thresholds(block=0.5), "violence": Thresholds(block=0.8), "sexual": Thresholds(review=0.1)}
    decision = decide(thresholds, {"hate": 0.7, "violence": 0.85, "sexual": 0.9})
    assert decision.verdict is SafetyVerdict.BLOCK
    assert decision.category is SafetyCategory.HATE


def test_what_is_unsafe_without_saying_how_is_named_by_its_highest_category() -> None:
    thresholds = {ANY: Thresholds(block=0.5), "violence": Thresholds(block=0.8), "hate": Thresholds(block=0.8)}
    decision = decide(thresholds, {ANY: 0.6, "violence": 0.4, "hate": 0.3})
    assert decision.verdict is SafetyVerdict.BLOCK
    assert decision.category is SafetyCategory.VIOLENCE
    assert decide({ANY: Thresholds(block=0.5)}, {ANY: 0.6}).category is None


def test_scores_without_a_threshold_decide_nothing() -> None:
    assert decide({}, {"hate": 1.0}) == ALLOWED


@given(st.dictionaries(st.sampled_from([ANY, "hate", "violence", "sexual"]), st.floats(0, 1)), st.floats(0, 1))
def test_a_higher_score_is_never_judged_more_mildly(scores: dict[str, float], raised: float) -> None:
    thresholds = dict.fromkeys([ANY, "hate", "violence", "sexual"], ALL_THREE)
    before = decide(thresholds, scores).verdict.severity
    after = decide(thresholds, {name: max(score, raised) for name, score in scores.items()}).verdict.severity
    assert after >= before
