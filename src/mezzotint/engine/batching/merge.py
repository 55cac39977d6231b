"""Merging denoiser calls into one, and splitting its output: pure functions that know nothing about pipelines.

Letters: r = rows of one call (dim 0 of its primary argument), n = number of calls, R = sum of their rows. A leaf of
the arguments is one of: rows [r, ...], concatenated; a scalar or [1, ...], expanded to rows where the calls differ;
shared (equal in all calls), passed once; a multiple [m*r, ...], concatenated as such. Which of them holds is guessed
from shapes and values; every guess is recorded in `Merged.decisions`, and the verifier checks each pattern of
decisions once against separate calls before it is trusted. So a wrong guess costs speed, not a picture.
"""

import enum
import itertools
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mezzotint.engine.batching.equality import EqualityCache
from mezzotint.engine.errors import CannotMerge
from mezzotint.engine.proxy import Call
from mezzotint.engine.tree import leaves, rebuild

PRIMARY = ("sample", "hidden_states", "x", "noisy_latents", "latents", "latent_model_input")
BATCH_DIM = {"encoder_hidden_states_llama3": 1}  # rows that are not dim 0: HiDream stacks layers before them
TIME_NAME = re.compile(r"time|sigma|^t$|\b1$")  # "1": the second positional argument is the timestep
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size, enum.Enum)

AllEqual = Callable[[Sequence[torch.Tensor]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The order of rows in a merged call.

    interleaved: row i of every call before row i + 1 of any, for denoisers that `chunk` the batch into conditional and
    unconditional thirds. multiples: equal tensors of m*r rows are concatenated, not shared.
    """

    interleaved: bool = False
    multiples: bool = False


LAYOUTS = (Layout(), Layout(interleaved=True), Layout(multiples=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A call made of several. decisions: for each leaf, whether it was concatenated, expanded or shared."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    decisions: tuple[Hashable, ...]


def primary_of(call: Call) -> Any:
    """The argument whose rows are the batch: a tensor, or a list with one tensor a sample.

    Raises: CannotMerge if there is none.
    """
    for name in PRIMARY:
        if call.kwargs.get(name) is not None:
            return call.kwargs[name]
    for value in itertools.chain(call.args, call.kwargs.values()):
        if isinstance(value, torch.Tensor) and value.ndim > 0:
            return value
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, torch.Tensor) for item in value):
            return value
    raise CannotMerge("no argument has rows")


def rows_of(call: Call) -> int:
    primary = primary_of(call)
    return primary.shape[0] if isinstance(primary, torch.Tensor) else len(primary)


def sample_of(call: Call) -> torch.Tensor:
    """The primary argument, or the first of its list."""
    primary = primary_of(call)
    sample: torch.Tensor = primary if isinstance(primary, torch.Tensor) else primary[0]
    return sample


def takes_lists(call: Call) -> bool:
    """Say whether samples come as lists of tensors rather than as rows."""
    return not isinstance(primary_of(call), torch.Tensor)


def batch_key(call: Call) -> Hashable:
    """Equal for calls that may share a pass; as small as correctness allows (guidance scale and step are not in it).

    Raises: CannotMerge if the call has no rows.
    """
    rows, lists = rows_of(call), takes_lists(call)
    args = tuple(_key(value, rows, lists, str(i)) for i, value in enumerate(call.args))
    kwargs = tuple((name, _key(value, rows, lists, name)) for name, value in sorted(call.kwargs.items()))
    return id(call.module), call.cache_context, lists, args, kwargs


def _key(value: Any, rows: int, lists: bool, name: str) -> Hashable:  # noqa: PLR0911 - one line a kind of value
    if isinstance(value, torch.Tensor):
        if value.ndim == 0:
            return "0", value.dtype
        if name in BATCH_DIM:
            dim = BATCH_DIM[name]
            return value.dtype, value.device, tuple(value.shape[:dim]), tuple(value.shape[dim + 1 :])
        leading = "r" if value.shape[0] == rows else value.shape[0]
        order = None  # the dimensions from outer to inner in memory, None if as usual: kernels choose by it
        if not value.is_contiguous():
            long = (dim for dim in range(value.ndim) if value.shape[dim] > 1)
            order = tuple(sorted(long, key=value.stride, reverse=True))
        return value.dtype, value.device, leading, tuple(value.shape[1:]), order
    if isinstance(value, dict):
        return type(value), tuple((k, _key(v, rows, lists, str(k))) for k, v in value.items())
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        if lists and len(value) == rows:
            return type(value), "r"
        return (type(value), *(_key(item, rows, lists, name) for item in value))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and TIME_NAME.search(name):
        return "time", type(value)
    return value if isinstance(value, PLAIN) else ("object", id(value))


@dataclass(slots=True)
class _Merger:
    """Carries the rows, the layout and the decisions through the tree."""

    rows: Sequence[int]
    lists: bool
    layout: Layout
    expand_all: bool
    device: torch.device
    all_equal: AllEqual
    decisions: list[Hashable]

    def value(self, values: Sequence[Any], name: str) -> Any:
        first = values[0]
        if isinstance(first, torch.Tensor):
            return self._tensor(values, name)
        if isinstance(first, dict):
            return rebuild(first, [self.value([v[key] for v in values], str(key)) for key in first])
        if isinstance(first, (list, tuple)) and not isinstance(first, torch.Size):
            return self._sequence(values, name)
        if isinstance(first, (int, float)) and not isinstance(first, bool) and TIME_NAME.search(name):
            same = all(v == first for v in values) and not self.expand_all
            self.decisions.append(("number", same))
            dtype = torch.float32 if isinstance(first, float) else torch.int64
            numbers = zip(values, self.rows, strict=True)
            if same:
                return first
            return self._cat([torch.full((r,), v, dtype=dtype, device=self.device) for v, r in numbers])
        if not all(v is first or (isinstance(v, PLAIN) and v == first) for v in values):
            raise CannotMerge(f"{name}: different values of type {type(first).__name__}")
        # floats do not steer control flow or layout; leaving them out keeps the number of verdicts small
        by_value = isinstance(first, PLAIN) and not isinstance(first, (float, complex))
        self.decisions.append((name, repr(first) if by_value else type(first).__name__))
        return first

    def _sequence(self, values: Sequence[Any], name: str) -> Any:
        first = values[0]
        if self.lists and all(len(v) == r for v, r in zip(values, self.rows, strict=True)):
            self.decisions.append((name, "samples", tuple(_form(v[0]) for v in values)))
            ordered = zip(*values, strict=True) if self.layout.interleaved else values
            return type(first)(itertools.chain.from_iterable(ordered))
        return rebuild(first, [self.value(items, name) for items in zip(*values, strict=True)])

    def _tensor(self, values: Sequence[torch.Tensor], name: str) -> torch.Tensor:
        first = values[0]
        if any(v.dtype != first.dtype or v.ndim != first.ndim for v in values):
            raise CannotMerge(f"{name}: dtype or number of dimensions differs")
        if name in BATCH_DIM:
            if self.layout.interleaved:
                raise CannotMerge(f"{name}: rows are not dim 0")
            self.decisions.append((name, "dim", *_form(first)))
            return torch.cat(list(values), BATCH_DIM[name])
        decision, merged = self._rows_or_shared(values, name)
        self.decisions.append((name, decision, *_form(first)))
        return merged

    def _rows_or_shared(self, values: Sequence[torch.Tensor], name: str) -> tuple[str, torch.Tensor]:
        first, rows = values[0], self.rows
        if first.ndim == 0:
            # comparing would wait for the device: there every number becomes rows
            if not self.expand_all and first.device.type == "cpu" and self.all_equal(values):
                return "shared", first
            # denoisers move a single number to their device, but no row of them
            return "expand", self._cat([v.to(self.device).expand(r) for v, r in zip(values, rows, strict=True)])
        if len({v.shape[1:] for v in values}) != 1:
            raise CannotMerge(f"{name}: shapes differ")
        if all(v.shape[0] == r for v, r in zip(values, rows, strict=True)):
            return "rows", self._cat(values)
        times = first.shape[0] // rows[0]
        is_multiple = times > 1 and all(v.shape[0] == times * r for v, r in zip(values, rows, strict=True))
        if self.all_equal(values) and not (self.layout.multiples and is_multiple):
            return "shared", first
        if all(v.shape[0] == 1 for v in values):
            return "expand", self._cat([v.expand(r, *v.shape[1:]) for v, r in zip(values, rows, strict=True)])
        if is_multiple:
            return "multiple", self._cat(values)
        raise CannotMerge(f"{name}: shared tensor differs")

    def _cat(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        if not self.layout.interleaved:
            return torch.cat(list(tensors))
        times = tensors[0].shape[0] // self.rows[0]
        return torch.stack([_unflatten(t, (self.rows[0], times)) for t in tensors], 1).flatten(0, 2)


def merge(
    calls: Sequence[Call], layout: Layout, *, expand_all: bool = False, all_equal: AllEqual | None = None
) -> Merged:
    """Merge `calls`, which share a batch key, into one call with the rows of all.

    expand_all: scalars become rows even where they are equal, so that the form of a pass never depends on company.
    all_equal: compares tensors; default: without remembering what was compared.
    Raises: CannotMerge if some leaf fits no rule.
    """
    rows = [rows_of(call) for call in calls]
    if layout.interleaved and (rows[0] == 1 or len(set(rows)) > 1):
        raise CannotMerge("interleaving needs equal numbers of rows, more than one")
    device = sample_of(calls[0]).device
    merger = _Merger(
        rows, takes_lists(calls[0]), layout, expand_all, device, all_equal or EqualityCache().all_equal, []
    )
    args = tuple(merger.value(values, str(i)) for i, values in enumerate(zip(*(c.args for c in calls), strict=True)))
    kwargs = {name: merger.value([c.kwargs[name] for c in calls], name) for name in calls[0].kwargs}
    return Merged(args=args, kwargs=kwargs, decisions=tuple(merger.decisions))


def split(output: Any, rows: Sequence[int], layout: Layout, *, lists: bool) -> list[Any]:
    """Split the output of a merged pass into one structure per call, each with memory of its own.

    Raises: CannotMerge if a tensor's dim 0 is not a multiple of R, or for an opaque object, which would be shared.
    """
    count, total = len(rows), sum(rows)

    def tensor(value: torch.Tensor) -> list[torch.Tensor]:
        if value.ndim == 0:
            return [value.clone() for _ in rows]
        if value.shape[0] % total:
            raise CannotMerge(f"an output has {value.shape[0]} rows for {total}")
        times = value.shape[0] // total
        if layout.interleaved:
            parts = _unflatten(value, (rows[0], count, times)).unbind(1)
            return [part.flatten(0, 1).clone() for part in parts]
        return [part.clone() for part in torch.split(value, [r * times for r in rows])]

    return _split(output, rows, layout, lists, tensor)


def _split(
    value: Any, rows: Sequence[int], layout: Layout, lists: bool, tensor: Callable[[torch.Tensor], list[torch.Tensor]]
) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return tensor(value)
    if isinstance(value, (dict, list, tuple)):
        if lists and not isinstance(value, dict) and len(value) == sum(rows):
            if layout.interleaved:
                return [type(value)(value[i :: len(rows)]) for i in range(len(rows))]
            ends = list(itertools.accumulate(rows))
            return [type(value)(value[end - r : end]) for end, r in zip(ends, rows, strict=True)]
        items = value.values() if isinstance(value, dict) else value
        columns = [_split(item, rows, layout, lists, tensor) for item in items]
        return [rebuild(value, [column[i] for column in columns]) for i in range(len(rows))]
    if not isinstance(value, PLAIN):
        raise CannotMerge(f"an output holds an opaque {type(value).__name__}")
    return [value] * len(rows)


def _unflatten(value: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
    return value.reshape(*sizes, *value.shape[1:])


def _form(value: Any) -> tuple[Hashable, ...]:
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape[1:]), value.device.type
    return (type(value).__name__,)


def is_opaque(*values: Any) -> bool:
    """Say whether the trees hold something that is neither a tensor nor a plain value (such as a key-value cache)."""
    known = (torch.Tensor, np.ndarray, np.generic, *PLAIN)
    return not all(isinstance(leaf, known) for value in values for leaf in leaves(value))
