"""Judge pictures before anybody sees them: several classifiers, and a verdict by the safety policy."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol

from PIL import Image

from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.dial import tighten_thresholds
from mezzotint.policy.safety.document import SafetyPolicy
from mezzotint.policy.safety.image_classifiers import ClassifierEntry, ImageUse
from mezzotint.policy.safety.images import YOUNG_FACE, ImageVerdict, judge_picture, must_look_at_faces
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.policy.safety.verdicts import SafetyVerdict, Thresholds
from mezzotint.safety.image.classifier import ImageClassifier
from mezzotint.safety.image.perceptual_hash import NUM_BITS, HashIndex, measure_picture

KNOWN = "known_copy"
"""The name under which a near copy of a blocked picture is scored: the share of bits that agree."""


class Meter(Protocol):
    """Counts what the filter does."""

    def count_image_score(self, classifier: str, seconds: float, /) -> None: ...

    def count_image_verdict(self, use: str, verdict: str, category: str, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedClassifier:
    """A classifier, and when the policy has it look."""

    name: str
    entry: ClassifierEntry
    classifier: ImageClassifier


class PostFilter:
    """Judges finished pictures, previews and uploads, on the CPU. Safe to use from several threads."""

    def __init__(
        self,
        classifiers: Sequence[LoadedClassifier],
        policy: SafetyPolicy,
        meter: Meter | None = None,
        overrides: Callable[[], SafetyOverrides] = lambda: NO_OVERRIDES,
    ) -> None:
        """classifiers: asked in this order, those that look at faces last. overrides: of the policy's thresholds."""
        self._classifiers = sorted(classifiers, key=lambda one: YOUNG_FACE in one.classifier.classes)
        self._policy, self._meter, self._overrides = policy, meter, overrides
        self.blocked_pictures = HashIndex()
        """Pictures whose near copies are blocked. Replace it whole."""
        versions = ",".join(f"{one.name}={one.classifier.version}" for one in self._classifiers)
        self.version = f"{policy.version}+{sha256(versions.encode()).hexdigest()[:8]}"

    def check(self, image: Image.Image, tier: Tier = Tier.FREE, use: ImageUse = ImageUse.FINISHED) -> ImageVerdict:
        """Judge a picture of any size and mode. tier: of its owner."""
        rgb = image.convert("RGB")
        # only of a finished picture is the hash kept; without a blocklist there is nothing else to measure it for
        is_hashed = use is ImageUse.FINISHED or (use is ImageUse.UPLOAD and len(self.blocked_pictures) > 0)
        features = measure_picture(rgb) if is_hashed else None
        if match := self.blocked_pictures.find_features(features) if features is not None else None:
            scores: Mapping[str, Mapping[str, float]] = {KNOWN: {KNOWN: 1 - match.distance / NUM_BITS}}
            verdict = ImageVerdict(verdict=SafetyVerdict.BLOCK, scores=scores, version=self.version)
        else:
            scores = self._score(rgb, use)
            decision = judge_picture(scores, self._thresholds(use, tier))
            verdict = ImageVerdict(
                verdict=decision.verdict, category=decision.category, scores=scores, version=self.version
            )
            # a blurred picture is another one than the hash is of
            if features is not None and use is ImageUse.FINISHED and decision.verdict is SafetyVerdict.ALLOW:
                kept = features.hash
                verdict = replace(verdict, pdq=kept.pdq, pdq_quality=kept.quality)
        if self._meter:
            self._meter.count_image_verdict(use.value, verdict.verdict.value, verdict.category or "")
        return verdict

    def is_preview_blocked(self, image: Image.Image, tier: Tier = Tier.FREE) -> bool:
        """Tell whether a picture that is not finished is kept from its owner: also where a finished one would be."""
        verdict = self.check(image, tier, ImageUse.PREVIEW)
        finished = judge_picture(verdict.scores, self._thresholds(ImageUse.FINISHED, tier))
        return {verdict.verdict, finished.verdict} != {SafetyVerdict.ALLOW}

    def judge_upload(self, image: Image.Image, tier: Tier = Tier.FREE) -> ImageVerdict:
        """Judge a picture that a user brings. It is refused unless it is simply allowed."""
        return self.check(image, tier, ImageUse.UPLOAD)

    def _thresholds(self, use: ImageUse, tier: Tier) -> Mapping[str, Thresholds]:
        """The policy's thresholds, tightened as the dial says at the moment."""
        factors = self._overrides().threshold_factors(datetime.now(UTC))
        return tighten_thresholds(self._policy.image_thresholds(use, tier), factors)

    def _score(self, rgb: Image.Image, use: ImageUse) -> dict[str, dict[str, float]]:
        scores: dict[str, dict[str, float]] = {}
        for one in self._classifiers:
            if use not in one.entry.uses or min(rgb.size) < one.entry.min_side_px:
                continue
            if YOUNG_FACE in one.classifier.classes and not must_look_at_faces(scores):
                continue
            started_at = time.perf_counter()
            found = one.classifier.score(rgb)
            # a class that is missing is no score of 0
            scores[one.name] = {name: float(found.get(name, math.nan)) for name in one.classifier.classes}
            if self._meter:
                self._meter.count_image_score(one.name, time.perf_counter() - started_at)
        return scores
