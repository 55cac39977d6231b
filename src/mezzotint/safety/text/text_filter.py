"""The text filter: hard rules, then the fast head, then the strong one where the fast one is in doubt.

Scores become a verdict by the safety policy. What the heads leave open is marked as uncertain: an operator's guard
model is asked about it (`guard`), outside of this computation.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.categories import ANY
from mezzotint.policy.safety.dial import tighten_thresholds
from mezzotint.policy.safety.document import LanguageGroup, SafetyPolicy
from mezzotint.policy.safety.hard_rules import HardRule
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.policy.safety.text_verdict import UNNAMED_ABOUT, UNNAMED_HINT, TextStage, TextVerdict
from mezzotint.policy.safety.verdicts import SafetyDecision, SafetyVerdict, Thresholds, decide
from mezzotint.safety.text.prefilter import PreFilter

if TYPE_CHECKING:
    from mezzotint.safety.text.classifier import FastScores, TextClassifier

NUM_REMEMBERED = 1024
"""Texts whose scores are kept: repeats and choices of one request, and requests that are sent again."""
_MIN_THRESHOLD = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """nearness: the highest score as a share of its threshold."""

    decision: SafetyDecision
    stage: TextStage
    nearness: float
    scores: Mapping[str, float]


class TextFilter:
    """Decides about prompts. Safe to use from several threads; computes in the caller's."""

    def __init__(
        self,
        rules: PreFilter,
        policy: SafetyPolicy,
        classifier: "Future[TextClassifier] | None" = None,
        overrides: Callable[[], SafetyOverrides] = lambda: NO_OVERRIDES,
    ) -> None:
        """classifier: still loading, perhaps; a prompt waits for it. None: hard rules alone decide. overrides: what
        admins changed, as it is at the moment; its dial tightens thresholds.
        """
        self._overrides = overrides
        self._rules = rules
        self._policy = policy
        self._classifier = classifier
        self._score_fast = lru_cache(NUM_REMEMBERED)(lambda text: self._load().score_fast(text))
        self._score_strong = lru_cache(NUM_REMEMBERED)(lambda text: self._load().score_strong(self._score_fast(text)))

    def wait_until_loaded(self, timeout_s: float | None = None) -> None:
        """Raises: ModelMissing, ModelCorrupt, TimeoutError."""
        if self._classifier is not None:
            self._classifier.result(timeout_s)

    def compile_rule(self, rule: HardRule) -> Callable[[str, str], bool]:
        """Make the check of one rule: (prompt, negative prompt) -> whether it blocks. Raises: RulesInvalid."""
        return self._rules.compile_rule(rule)

    def judge(self, prompt: str, negative_prompt: str = "", tier: Tier = Tier.FREE) -> TextVerdict:
        """Decide about a prompt. Takes some milliseconds: call it in a thread. Raises: ModelMissing, ModelCorrupt."""
        rule = self._rules.find_rule(prompt, negative_prompt)
        unscored = TextVerdict(
            verdict=SafetyVerdict.ALLOW,
            stage=TextStage.RULES,
            text_hash=sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest(),
            policy_version=self._policy.version,
            overrides_version=self._overrides().version,
            rules_version=self._rules.version,
        )
        if rule is not None:
            return replace(
                unscored,
                verdict=SafetyVerdict.BLOCK,
                category=rule.category,
                rule=rule.rule,
                about=rule.about,
                hint=rule.hint,
            )
        return unscored if self._classifier is None else self._add_scores(unscored, prompt, tier)

    def _add_scores(self, unscored: TextVerdict, prompt: str, tier: Tier) -> TextVerdict:
        fast = self._score_fast(prompt)
        scored = self._decide(prompt, fast, tier)
        decision = scored.decision
        return replace(
            unscored,
            verdict=decision.verdict,
            category=decision.category or ("" if decision.verdict is SafetyVerdict.ALLOW else ANY),
            about=decision.category.about if decision.category else UNNAMED_ABOUT,
            hint=decision.category.hint if decision.category else UNNAMED_HINT,
            stage=scored.stage,
            scores=scored.scores,
            language=fast.language.code,
            nearness=scored.nearness,
            is_uncertain=fast.language.group is LanguageGroup.UNKNOWN or self._is_grey(scored.nearness),
            heads_version=self._load().version,
        )

    def _decide(self, prompt: str, fast: "FastScores", tier: Tier) -> _Scored:
        factors = self._overrides().threshold_factors(datetime.now(UTC))
        thresholds = tighten_thresholds(self._policy.text_thresholds(fast.language.group, tier), factors)
        scored = _judge(thresholds, fast.scores, TextStage.FAST)
        if self._is_grey(scored.nearness) and (strong := self._score_strong(prompt)) is not None:
            return _judge(thresholds, strong, TextStage.STRONG)
        return scored

    def _is_grey(self, nearness: float) -> bool:
        return self._policy.grey.low <= nearness < self._policy.grey.high

    def _load(self) -> "TextClassifier":
        assert self._classifier is not None
        return self._classifier.result()


def _judge(thresholds: Mapping[str, Thresholds], scores: Mapping[str, float], stage: TextStage) -> _Scored:
    lowest = {name: one.lowest for name, one in thresholds.items() if name in scores}
    shares = [scores[name] / max(at, _MIN_THRESHOLD) for name, at in lowest.items() if at is not None]
    nearness = max(shares, default=0.0)
    return _Scored(decision=decide(thresholds, scores), stage=stage, nearness=nearness, scores=scores)
