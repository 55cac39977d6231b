"""Evict models from memory to load another: the least recently used first (LRU), never one with runs in flight."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentModel:
    """A model in memory. used_at: any clock's. is_pinned: it stays. is_busy: it has runs in flight."""

    name: str
    num_bytes: int
    used_at: float
    is_pinned: bool
    is_busy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """Drop these models, then load."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait: there is room when runs in flight have ended."""


def choose_evictions(residents: Sequence[ResidentModel], wanted_bytes: int, bound_bytes: int) -> Evict | Wait:
    """Choose the models to evict for one of `wanted_bytes`. bound_bytes: of all in memory; 0: no bound.

    A model that does not fit even beside the pinned ones alone is loaded all the same: its jobs could never be done
    otherwise, and the bound is for choosing between models, not for refusing them.
    """
    excess = sum(resident.num_bytes for resident in residents) + wanted_bytes - bound_bytes
    if bound_bytes == 0 or excess <= 0:
        return Evict(names=())
    idle = [resident for resident in residents if not (resident.is_pinned or resident.is_busy)]
    evicted: list[str] = []
    for resident in sorted(idle, key=lambda resident: resident.used_at):
        evicted.append(resident.name)
        excess -= resident.num_bytes
        if excess <= 0:
            return Evict(names=tuple(evicted))
    is_later = any(resident.is_busy and not resident.is_pinned for resident in residents)
    return Wait() if is_later else Evict(names=tuple(evicted))
