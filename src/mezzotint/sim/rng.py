"""Chance that is the same everywhere: SplitMix64 (Steele, Lea, Flood 2014)."""

import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
MASK = (1 << 64) - 1


class Rng:
    """A stream of random numbers; equal seeds give equal numbers."""

    def __init__(self, seed: int) -> None:
        self._state = seed & MASK

    def bits(self) -> int:
        """64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return mixed ^ (mixed >> 31)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """In [low, high)."""
        return low + (high - low) * ((self.bits() >> 11) / (1 << 53))

    def below(self, count: int) -> int:
        """In 0..count-1."""
        return self.bits() % count

    def exponential(self, mean: float) -> float:
        """Time to the next of events that come independently of each other."""
        return -mean * math.log1p(-self.uniform())

    def choice(self, among: Sequence[T]) -> T:
        return among[self.below(len(among))]
