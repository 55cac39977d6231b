"""Decide from scores and thresholds what happens to a text or a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mezzotint.policy.safety.categories import ANY, SafetyCategory


class SafetyVerdict(StrEnum):
    """From mild to severe. REVIEW: a text passes, and its audit row says so; a picture is kept back until an admin
    decides. BLUR: a blurred picture is delivered.
    """

    ALLOW = "allow"
    REVIEW = "review"
    BLUR = "blur"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        return list(SafetyVerdict).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The scores in 0..1 from which each verdict is given; None: never."""

    review: float | None = None
    blur: float | None = None
    block: float | None = None

    def judge(self, score: float) -> SafetyVerdict:
        """The most severe verdict that the score reaches; a score that is not a number reaches all."""
        if self.block is not None and not score < self.block:
            return SafetyVerdict.BLOCK
        if self.blur is not None and not score < self.blur:
            return SafetyVerdict.BLUR
        if self.review is not None and not score < self.review:
            return SafetyVerdict.REVIEW
        return SafetyVerdict.ALLOW

    @property
    def lowest(self) -> float | None:
        """The score from which the verdict is no longer ALLOW."""
        return min((at for at in (self.review, self.blur, self.block) if at is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyDecision:
    """category: why it is not allowed; None where it is, or where no category is scored, only that it is unsafe."""

    verdict: SafetyVerdict
    category: SafetyCategory | None = None


ALLOWED = SafetyDecision(verdict=SafetyVerdict.ALLOW)
BLOCKED_MINORS = SafetyDecision(verdict=SafetyVerdict.BLOCK, category=SafetyCategory.SEXUAL_MINORS)


def decide(thresholds: Mapping[str, Thresholds], scores: Mapping[str, float]) -> SafetyDecision:
    """Give the most severe verdict that any score reaches, and its category.

    thresholds, scores: by the category's name or `ANY`. Among categories of one verdict the one that is furthest above
    its threshold is named; where `ANY` alone reaches the verdict, the category with the highest score is.
    """
    verdicts = {name: thresholds[name].judge(score) for name, score in scores.items() if name in thresholds}
    worst = max(verdicts.values(), key=lambda verdict: verdict.severity, default=SafetyVerdict.ALLOW)
    if worst is SafetyVerdict.ALLOW:
        return ALLOWED
    reaching = {name: scores[name] for name, verdict in verdicts.items() if verdict is worst and name != ANY}
    if reaching:
        category = max(reaching, key=lambda name: reaching[name] - (thresholds[name].lowest or 0.0))
    else:
        named = {name: score for name, score in scores.items() if name != ANY and name in thresholds}
        category = max(named, key=lambda name: named[name], default="")
    return SafetyDecision(verdict=worst, category=SafetyCategory(category) if category else None)
