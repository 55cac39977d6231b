"""The cascade: rules, the fast head, the strong one where the fast one is in doubt, thresholds by language and tier."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from mezzotint.domain.refusal import RefusalCode
from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.dial import Tightening
from mezzotint.policy.safety.document import LanguageGroup, SafetyPolicy
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.policy.safety.text_verdict import TextStage
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.safety.text.languages import Language
from mezzotint.safety.text.prefilter import PreFilter
from mezzotint.safety.text.text_filter import TextFilter

RULES = PreFilter.load()
POLICY = SafetyPolicy.model_validate(
    {
        "version": "7",
        "grey": {"low": 0.5, "high": 1.5},
        "text": {"english": {"hate": 0.6, "violence": {"review": 0.5, "block": 0.9}}, "unknown": {"hate": 0.4}},
        "tiers": {"pro": {"text": {"english": {"hate": 0.8}}}},
    }
)


@dataclass(frozen=True)
class Scores:
    """The fast head's answer, as the classifier gives it."""

    scores: dict[str, float]
    language: Language


@dataclass
class Scorer:
    """A classifier whose scores a test sets: the real one is tested by itself."""

    fast: dict[str, float]
    strong: dict[str, float] | None = None
    group: LanguageGroup = LanguageGroup.ENGLISH
    version: str = "3"
    calls: list[str] = field(default_factory=list)

    def score_fast(self, text: str) -> Scores:
        self.calls.append("fast")
        return Scores(self.fast, Language("en" if self.group is LanguageGroup.ENGLISH else "xx", self.group))

    def score_strong(self, fast: Scores) -> dict[str, float] | None:
        self.calls.append("strong")
        return self.strong


def filter_by(scorer: Scorer) -> TextFilter:
    loaded: Future[Scorer] = Future()
    loaded.set_result(scorer)
    return TextFilter(RULES, POLICY, loaded)  # type: ignore[arg-type]


def test_a_rule_decides_before_any_score() -> None:
    scorer = Scorer({"hate": 0.0})
    verdict = filter_by(scorer).judge("a nude woman on a sofa")
    assert (verdict.verdict, verdict.category, verdict.stage) == ("block", "sexual", TextStage.RULES)
    assert scorer.calls == []
    assert not verdict.is_uncertain, "no guard may overrule it"


@pytest.mark.parametrize(
    ("score", "verdict", "calls"),
    [(0.29, "allow", ["fast"]), (0.95, "block", ["fast"]), (0.59, "allow", ["fast", "strong"])],
)
def test_the_strong_head_is_asked_in_the_grey_zone_alone(score: float, verdict: str, calls: list[str]) -> None:
    scorer = Scorer({"hate": score}, strong={"hate": 0.3})
    assert filter_by(scorer).judge("a lake").verdict == verdict
    assert scorer.calls == calls


def test_the_strong_heads_score_decides_and_leaves_the_rest_to_a_guard() -> None:
    verdict = filter_by(Scorer({"hate": 0.5}, strong={"hate": 0.7})).judge("a lake")
    assert (verdict.verdict, verdict.category, verdict.stage) == ("block", "hate", TextStage.STRONG)
    assert verdict.is_uncertain
    assert not filter_by(Scorer({"hate": 0.5}, strong={"hate": 0.1})).judge("a lake").is_uncertain


def test_a_language_that_the_encoder_does_not_know_is_never_sure_to_pass() -> None:
    verdict = filter_by(Scorer({"hate": 0.0}, group=LanguageGroup.UNKNOWN)).judge("a lake")
    assert verdict.verdict is SafetyVerdict.ALLOW
    assert verdict.is_uncertain, "a guard is asked about it, where there is one"


def test_thresholds_follow_the_language_group_and_the_tier() -> None:
    assert filter_by(Scorer({"hate": 0.5})).judge("a lake").verdict == "allow"
    assert filter_by(Scorer({"hate": 0.5}, group=LanguageGroup.UNKNOWN)).judge("a lake").verdict == "block"
    assert filter_by(Scorer({"hate": 0.7})).judge("a lake", tier=Tier.FREE).verdict == "block"
    assert filter_by(Scorer({"hate": 0.7})).judge("a lake", tier=Tier.PRO).verdict == "allow"


def test_a_score_between_review_and_block_passes_and_is_marked() -> None:
    verdict = filter_by(Scorer({"violence": 0.6})).judge("a lake")
    assert (verdict.verdict, verdict.category) == ("review", "violence")
    assert verdict.refuse() is None


def test_the_refusal_names_the_category_and_the_verdict_has_the_facts_of_the_audit() -> None:
    verdict = filter_by(Scorer({"hate": 0.99})).judge("a lake")
    refusal = verdict.refuse()
    assert refusal is not None
    assert refusal.code is RefusalCode.PROMPT_BLOCKED
    assert "hatred of a group" in refusal.message
    assert verdict.scores == {"hate": 0.99}
    assert (verdict.policy_version, verdict.rules_version, verdict.heads_version) == ("7", RULES.version, "3")
    assert verdict.text_hash == sha256(b"a lake").hexdigest()


def test_the_dial_tightens_the_thresholds_while_it_is_turned() -> None:
    turned = [NO_OVERRIDES]
    loaded: Future[Scorer] = Future()
    loaded.set_result(Scorer({"hate": 0.5}))
    text_filter = TextFilter(RULES, POLICY, loaded, lambda: turned[0])  # type: ignore[arg-type]
    assert text_filter.judge("a lake").verdict == "allow"
    now = datetime.now(UTC)
    tightening = Tightening(
        id="t", category=None, by=0.3, starts_at=now, ends_at=now + timedelta(hours=1), author="eve", reason="raid"
    )
    turned[0] = SafetyOverrides(version=5, tightenings=(tightening,))
    verdict = text_filter.judge("a lake")
    assert (verdict.verdict, verdict.overrides_version) == ("block", 5)


def test_equal_texts_are_scored_once() -> None:
    scorer = Scorer({"hate": 0.5}, strong={"hate": 0.1})
    text_filter = filter_by(scorer)
    verdicts = {text_filter.judge("a lake").verdict for _ in range(3)}
    assert verdicts == {SafetyVerdict.ALLOW}
    assert scorer.calls == ["fast", "strong"]


def test_the_negative_prompt_is_never_scored() -> None:
    scorer = Scorer({"hate": 0.0})
    assert filter_by(scorer).judge("a portrait of a woman", "nude, blood, gore").verdict == "allow"
    assert scorer.calls == ["fast"]


def test_without_a_classifier_rules_alone_decide() -> None:
    text_filter = TextFilter(RULES, POLICY)
    assert text_filter.judge("a lake").verdict == "allow"
    assert text_filter.judge("a nude woman on a sofa").verdict == "block"
