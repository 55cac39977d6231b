"""Compare tensors, asking a device once: a comparison waits until it has done all its work."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from mezzotint.engine.device.clock import is_asynchronous

MAX_PAIRS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class _Comparison:
    storages: list[Any]
    is_equal: bool

    def is_current(self) -> bool:
        return not any(storage.expired() for storage in self.storages)


class EqualityCache:
    """Remembers comparisons for as long as neither tensor is written to or freed.

    A tensor is known by its storage, its place and form in it, and its version counter, which every write raises. A
    weak reference to the storage keeps its identity from going to another one. asks_once: for which tensors.
    """

    def __init__(self, asks_once: Callable[[torch.Tensor], bool] = is_asynchronous) -> None:
        self._asks_once = asks_once
        self._found: dict[Hashable, _Comparison] = {}

    def all_equal(self, values: Sequence[torch.Tensor]) -> bool:
        first = values[0]
        return all(v is first or (v.shape == first.shape and self._is_equal(first, v)) for v in values[1:])

    def _is_equal(self, a: torch.Tensor, b: torch.Tensor) -> bool:
        if not self._asks_once(a) or not (_is_plain(a) and _is_plain(b)):
            return torch.equal(a, b)
        key = _identify(a), _identify(b)
        known = self._found.get(key)
        if known is None or not known.is_current():
            if len(self._found) >= MAX_PAIRS:
                alive = {key: one for key, one in self._found.items() if one.is_current()}
                self._found = alive if len(alive) < MAX_PAIRS else {}
            storages = [_refer_weakly(a), _refer_weakly(b)]
            known = self._found[key] = _Comparison(storages, torch.equal(a, b))
        return known.is_equal


def _is_plain(tensor: torch.Tensor) -> bool:
    """Say whether its version counter tells of writes, and its storage of its values."""
    is_lazy = tensor.is_conj() or tensor.is_neg()
    return type(tensor) is torch.Tensor and tensor.layout is torch.strided and not (tensor.is_inference() or is_lazy)


def _refer_weakly(tensor: torch.Tensor) -> Any:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def _identify(tensor: torch.Tensor) -> Hashable:
    place = tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype
    return tensor.untyped_storage()._cdata, *place, tensor._version
