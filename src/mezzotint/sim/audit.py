"""Measures, for every pair of competitors, how far their service drifts apart while both wait for more.

The drift of a pair over any interval inside such a time is the difference of two values of (service of f) - (service of
m); so its largest is the span between the lowest and the highest value seen. Service is normalised: cost over weight.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
ROUNDING = 1e-6


@dataclass(slots=True)
class ServiceGap:
    """Lowest and highest difference of service since both wait."""

    low: float
    high: float


@dataclass(slots=True, kw_only=True)
class Audit(Generic[Key]):
    """The audit of one level of the queue.

    num_largest: how often the largest jobs of a pair count in its bound.
    head_start: how many of its largest jobs a competitor may be ahead besides.
    slack: the same for all, in jobs of the largest that anybody was passed over with.
    Largest: normalised, and so far.
    """

    num_largest: float
    slack: float
    head_start: Mapping[Key, float] = field(default_factory=dict)
    num_checks: int = 0
    num_violations: int = 0
    worst: float = 0.0
    _largest: dict[Key, float] = field(default_factory=dict)
    _passed: float = 0.0
    _service: dict[Key, float] = field(default_factory=dict)
    _spans: dict[Key, dict[Key, ServiceGap]] = field(default_factory=dict)

    def compete(self, keys: Iterable[Key]) -> None:
        """Note the competitors at a decision, before it is made. A pair is watched as long as both stay."""
        present = set(keys)
        for gone in self._spans.keys() - present:
            for other in self._spans.pop(gone):
                del self._spans[other][gone]
        for new in present - self._spans.keys():
            self._spans[new] = {}
            for other in self._spans.keys() - {new}:
                difference = self._service.get(new, 0.0) - self._service.get(other, 0.0)
                self._spans[new][other] = ServiceGap(difference, difference)
                self._spans[other][new] = ServiceGap(-difference, -difference)

    def note_size(self, key: Key, size: float) -> None:
        """A job of this normalised size is served, or was predicted to have it."""
        self._largest[key] = max(size, self._largest.get(key, 0.0))

    def note_passed(self, size: float) -> None:
        """A job of this normalised size may be passed over."""
        self._passed = max(size, self._passed)

    def serve(self, key: Key, amount: float) -> None:
        """Service that `key` was given; negative where a charge was too high."""
        self._service[key] = self._service.get(key, 0.0) + amount
        for other, span in self._spans.get(key, {}).items():
            difference = self._service[key] - self._service.get(other, 0.0)
            span.low, span.high = min(span.low, difference), max(span.high, difference)
            mirror = self._spans[other][key]
            mirror.low, mirror.high = -span.high, -span.low
            self._check(span, self._bound_of(key) + self._bound_of(other) + 2 * self.slack * self._passed)

    def _bound_of(self, key: Key) -> float:
        return (self.num_largest + self.head_start.get(key, 0.0)) * self._largest.get(key, 0.0)

    def _check(self, span: ServiceGap, bound: float) -> None:
        drift = (span.high - span.low) / bound if bound > 0.0 else 0.0
        self.num_checks += 1
        self.num_violations += drift > 1.0 + ROUNDING
        self.worst = max(self.worst, drift)
