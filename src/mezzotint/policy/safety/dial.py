"""The dial: make thresholds stricter for a bounded time.

A threshold `t` that is tightened by a share `p` becomes `t * (1 - p)`: scores from there on reach its verdict.
Tightenings that overlap compose by multiplication, so that their order does not matter and the end of one leaves the
others in force.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import prod

from mezzotint.policy.safety.categories import ANY, SafetyCategory
from mezzotint.policy.safety.verdicts import Thresholds

MIN_FACTOR = 0.1
"""Thresholds are never lowered below this share of themselves: at 0 every prompt would be refused."""
MIN_BY, MAX_BY = 0.01, 0.9
MAX_FOR = timedelta(days=31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tightening:
    """category: None for all. by: the share taken from thresholds. In force from starts_at until before ends_at."""

    id: str
    category: SafetyCategory | None
    by: float
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str

    def is_in_force(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at


def threshold_factors(tightenings: Iterable[Tightening], now: datetime) -> dict[str, float]:
    """The factor of the thresholds of each category that has any, and of `ANY`, at the moment: `MIN_FACTOR` to 1.

    `ANY` is tightened by those of all categories alone.
    """
    in_force = [one for one in tightenings if one.is_in_force(now)]
    return {
        name: max(MIN_FACTOR, prod(1 - one.by for one in in_force if one.category in (None, name)))
        for name in (*(category for category in SafetyCategory if category.has_threshold), ANY)
    }


def tighten_threshold(threshold: float, factor: float) -> float:
    """The threshold that holds under a factor: never above what the policy says, never below 0."""
    return min(threshold, max(0.0, threshold * factor))


def tighten_thresholds(thresholds: Mapping[str, Thresholds], factors: Mapping[str, float]) -> dict[str, Thresholds]:
    """The thresholds that hold under factors. thresholds, factors: by the category's name or `ANY`."""
    return {name: _tighten(one, factors[name]) if name in factors else one for name, one in thresholds.items()}


def _tighten(thresholds: Thresholds, factor: float) -> Thresholds:
    at = {name: getattr(thresholds, name) for name in Thresholds.__slots__}
    return Thresholds(**{name: None if one is None else tighten_threshold(one, factor) for name, one in at.items()})


def find_tightening_fault(category: SafetyCategory | None, by: float, lasts: timedelta) -> str:
    """The reason why thresholds cannot be tightened so; empty: they can."""
    if category is not None and not category.has_threshold:
        return f"{category} has no threshold: it is always refused."
    if not MIN_BY <= by <= MAX_BY:
        return f"Use a share from {MIN_BY:.0%} to {MAX_BY:.0%}."
    if not timedelta() < lasts <= MAX_FOR:
        return f"Use a time of more than 0 and at most {MAX_FOR.days} days."
    return ""
