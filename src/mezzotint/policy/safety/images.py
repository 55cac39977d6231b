"""Decide from the scores of several classifiers what happens to a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Final

from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.verdicts import (
    BLOCKED_MINORS,
    SafetyDecision,
    SafetyVerdict,
    Thresholds,
    decide,
)

YOUNG_FACE: Final = "young_face"
"""Beside the categories, the name of the score that a face in the picture is not a grown-up's."""
MIN_YOUNG: Final = 0.3
MIN_SEXUAL: Final = 0.3
"""A picture with both scores from here on is blocked as sexual content with minors, whatever the policy file says."""
MIN_MINORS: Final = 0.5
"""The same, of a classifier that scores this class itself: the text in the picture, or an operator's own."""
Scores = Mapping[str, Mapping[str, float]]
"""By the classifier's name, its score by class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVerdict:
    """scores: as the classifiers gave them. version: of the classifiers and the policy. pdq, pdq_quality: the
    perceptual hash of a finished picture, as in `PictureHash`; None of others.
    """

    verdict: SafetyVerdict
    category: SafetyCategory | None = None
    scores: Scores = field(default_factory=dict)
    version: str = ""
    pdq: str | None = None
    pdq_quality: int | None = None

    @property
    def kept_scores(self) -> dict[str, dict[str, float | None]]:
        """The scores as a row keeps them: to four digits; None for what is not a number, which JSON cannot say."""
        return {
            classifier: {name: None if isnan(score) else round(score, 4) for name, score in of_one.items()}
            for classifier, of_one in self.scores.items()
        }

    @property
    def is_blocked(self) -> bool:
        return self.verdict is SafetyVerdict.BLOCK

    @property
    def is_withheld(self) -> bool:
        """Tell whether nothing of the picture is delivered."""
        return self.verdict in {SafetyVerdict.BLOCK, SafetyVerdict.REVIEW}


def judge_picture(scores: Scores, thresholds: Mapping[str, Thresholds]) -> SafetyDecision:
    """Give the most severe verdict that any classifier's score reaches.

    A score that is not a number blocks, in whichever class.
    """
    if any(isnan(score) for of_one in scores.values() for score in of_one.values()):
        return SafetyDecision(verdict=SafetyVerdict.BLOCK)
    highest = find_highest(scores)
    if highest.get(SafetyCategory.SEXUAL_MINORS, 0.0) >= MIN_MINORS:
        return BLOCKED_MINORS
    if highest.pop(YOUNG_FACE, 0.0) >= MIN_YOUNG and highest.get(SafetyCategory.SEXUAL, 0.0) >= MIN_SEXUAL:
        return BLOCKED_MINORS
    return decide(thresholds, highest)


def find_highest(scores: Scores) -> dict[str, float]:
    """Return the highest score of each class among the classifiers."""
    highest: dict[str, float] = {}
    for of_one in scores.values():
        for name, score in of_one.items():
            highest[name] = max(score, highest.get(name, 0.0))
    return highest


def must_look_at_faces(scores: Scores) -> bool:
    """Tell whether a young face would block the picture."""
    return not find_highest(scores).get(SafetyCategory.SEXUAL, 0.0) < MIN_SEXUAL
