"""The safety policy as an operator writes it: one file with a version.

The form of the file stands in docs/how-to/change-the-safety-policy.md.
"""

from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.image_classifiers import BUILT_IN, ClassifierEntry, ClassifierKind, ImageUse
from mezzotint.policy.safety.verdicts import Thresholds

Score = Annotated[float, Field(ge=0, le=1)]


class LanguageGroup(StrEnum):
    """KNOWN: the other languages that the fast encoder was trained on. UNKNOWN: all else."""

    ENGLISH = "english"
    KNOWN = "known"
    UNKNOWN = "unknown"


class _StrictModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _read_bare_number(value: Any) -> Any:
    return {"block": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class ThresholdEntry(_StrictModel):
    """A bare number is the score from which the verdict is to block."""

    review: Score | None = None
    blur: Score | None = None
    block: Score | None = None

    @model_validator(mode="after")
    def _check_order(self) -> "ThresholdEntry":
        given = [(name, score) for name, score in self if score is not None]
        for (milder, lower), (stricter, higher) in pairwise(given):
            if lower >= higher:
                raise ValueError(f"{milder} must be below {stricter}, or no score would reach it alone")
        return self

    def read(self) -> Thresholds:
        return Thresholds(review=self.review, blur=self.blur, block=self.block)


Entry = Annotated[ThresholdEntry, BeforeValidator(_read_bare_number)]
ThresholdTable = Mapping[str, Entry]


class ThresholdTables(_StrictModel):
    """text: by language group. image: by what the picture is for. Inside by category, or `any`."""

    text: Mapping[LanguageGroup, ThresholdTable] = {}
    image: Mapping[ImageUse, ThresholdTable] = {}

    @model_validator(mode="after")
    def _check(self) -> "ThresholdTables":
        for table in (*self.text.values(), *self.image.values()):
            for name in table:
                if name != ANY and name not in list(SafetyCategory):
                    raise ValueError(f'"{name}" is no category; there are {ANY}, {", ".join(SafetyCategory)}')
                if name != ANY and not SafetyCategory(name).has_threshold:
                    raise ValueError(f"{name} has no threshold: it is always blocked")
        if any(entry.blur is not None for table in self.text.values() for entry in table.values()):
            raise ValueError("a text cannot be blurred")
        return self


class GreyZone(_StrictModel):
    """The share of a threshold between which the fast head's score calls for the stronger one.

    With low = 0.2 and high = 1.5 and a threshold of 0.6: from 0.12 to 0.9.
    """

    low: Annotated[float, Field(ge=0, le=1)] = 0.1
    high: Annotated[float, Field(ge=1)] = 1.5


class OriginalsPolicy(_StrictModel):
    """The days for which pictures that are not delivered are kept, encrypted. review_days: for an admin to decide, then
    they are denied. blocked_days: those that were blocked; 0: not kept.
    """

    review_days: Annotated[float, Field(gt=0, le=3650)] = 14
    blocked_days: Annotated[float, Field(ge=0, le=3650)] = 0


class SafetyPolicy(ThresholdTables):
    """version: any text; audit rows name it. tiers: tables that replace entries of the common ones for one tier.

    classifiers: by name, those that look at pictures.
    """

    version: Annotated[str, Field(min_length=1, max_length=40)]
    grey: GreyZone = GreyZone()
    tiers: Mapping[Tier, ThresholdTables] = {}
    classifiers: Mapping[str, ClassifierEntry] = BUILT_IN
    originals: OriginalsPolicy = OriginalsPolicy()

    @property
    def keeps_originals(self) -> bool:
        """Tell whether a picture that is not delivered may be kept."""
        tables = (part.image.get(ImageUse.FINISHED, {}) for part in (self, *self.tiers.values()))
        return self.originals.blocked_days > 0 or any(
            entry.review is not None for table in tables for entry in table.values()
        )

    @model_validator(mode="after")
    def _check_classifiers(self) -> "SafetyPolicy":
        for name, entry in self.classifiers.items():
            if entry.kind is None and name not in list(ClassifierKind):
                raise ValueError(f'the classifier "{name}" needs a kind: {", ".join(ClassifierKind)}')
        return self

    def text_thresholds(self, group: LanguageGroup, tier: Tier) -> dict[str, Thresholds]:
        own = self.tiers[tier].text.get(group, {}) if tier in self.tiers else {}
        return {name: entry.read() for name, entry in {**self.text.get(group, {}), **own}.items()}

    def image_thresholds(self, use: ImageUse, tier: Tier) -> dict[str, Thresholds]:
        own = self.tiers[tier].image.get(use, {}) if tier in self.tiers else {}
        return {name: entry.read() for name, entry in {**self.image.get(use, {}), **own}.items()}
