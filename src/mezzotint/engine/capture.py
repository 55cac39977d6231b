"""What a run's samplers and guiders hold, taken at a step boundary by reference and copied only when it is kept.

A sketch is a value with its containers copied and its tensors referenced together with their version counters. Taking
one costs microseconds, so every boundary gets one; `hub.checkpoint` can then save the last boundary although the run
has gone on, unless a tensor was written to since (`Sketch.is_current`).

Only differences to the baseline are kept: the baseline is the object at its own first `step`, after `set_timesteps`. A
replayed run makes the same baseline by itself, so the big tables of a sampler never enter a checkpoint. A digest of the
baseline does, and a checkpoint is refused where it differs.
"""

import hashlib
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import FrozenDict

from mezzotint.engine.errors import CannotCheckpoint
from mezzotint.engine.proxy import WatchedStep

ATOMS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size, FrozenDict)
# code, not data: a replay holds the same by itself
CODE = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, type, torch.nn.Module, WatchedStep)
MAX_DEPTH = 12


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A tensor as it was: valid while its version counter has not moved."""

    tensor: torch.Tensor
    version: int

    def is_current(self) -> bool:
        return _version(self.tensor) == self.version


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A plain object: its class's name and its attributes."""

    name: str
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """Something that a replay makes by itself and that is left as the replay has it."""

    name: str


@dataclass(slots=True, eq=False)
class Baseline:
    """An object at its first step. `raw` keeps the values, `sketches` what they held."""

    raw: dict[str, Any]
    versions: dict[str, int]
    sketches: dict[str, Any]

    def digest(self) -> str:
        """SHA-256 of everything in it, the same in every process that makes the same call."""
        digest = hashlib.sha256()
        for name, value in sorted(self.sketches.items()):
            digest.update(name.encode())
            _feed(digest.update, value)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """What an object holds that its baseline did not; everything else of it is as in the baseline."""

    changed: dict[str, Any]


def baseline(target: Any) -> Baseline:
    raw = dict(vars(target))
    versions = {name: _version(value) for name, value in raw.items() if isinstance(value, torch.Tensor)}
    # own copies: some samplers write into their tables
    return Baseline(
        raw=raw, versions=versions, sketches={name: copied(sketch(value), {}) for name, value in raw.items()}
    )


def difference(target: Any, base: Baseline) -> Difference:
    """Compare by identity first: nearly all attributes of a sampler never change."""
    changed = {}
    for name, value in vars(target).items():
        before = base.raw.get(name, Code)
        if before is value and (
            isinstance(value, ATOMS) or base.versions.get(name, -1) == getattr(value, "_version", -2)
        ):
            continue
        now = sketch(value)
        if before is Code or not _same(now, base.sketches[name]):
            changed[name] = now
    return Difference(changed=changed)


def sketch(value: Any, depth: int = 0) -> Any:  # noqa: C901, PLR0911 - one line a kind of value
    """Raises: CannotCheckpoint for what is neither data nor code, or nested too deeply."""
    if isinstance(value, torch.Tensor):
        return Seen(value, _version(value))
    if isinstance(value, ATOMS):
        return value
    if isinstance(value, CODE):
        return Code(str(getattr(value, "__qualname__", type(value).__name__)))
    if depth > MAX_DEPTH:
        raise CannotCheckpoint(f"{type(value).__name__}: nested too deeply")
    if isinstance(value, (np.ndarray, np.generic)):
        return value.copy()
    if isinstance(value, dict):
        return {key: sketch(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return (list if isinstance(value, list) else tuple)(sketch(item, depth + 1) for item in value)
    if isinstance(value, deque):
        return deque((sketch(item, depth + 1) for item in value), value.maxlen)
    if isinstance(value, torch.Generator):
        return Parts("torch.Generator", {"state": sketch(value.get_state())})
    if hasattr(value, "__dict__"):
        return Parts(type(value).__qualname__, {k: sketch(v, depth + 1) for k, v in vars(value).items()})
    raise CannotCheckpoint(f"{type(value).__qualname__} cannot be written")


def copied(value: Any, copies: dict[int, Seen]) -> Any:
    """The sketch with host copies of its tensors, one for each tensor in `copies` (by id) and in the sketch.

    Raises: CannotCheckpoint if a tensor was written to since.
    """

    def copy_of(seen: Seen) -> Seen:
        if not seen.is_current():
            raise CannotCheckpoint("a tensor of the sampler was overwritten after the step")
        if id(seen.tensor) not in copies:
            tensor = seen.tensor.detach().to("cpu", copy=True)
            copies[id(seen.tensor)] = Seen(tensor, _version(tensor))
        return copies[id(seen.tensor)]

    return map_sketch(value, copy_of)


def map_sketch(value: Any, change: Callable[[Seen], Any]) -> Any:  # noqa: PLR0911 - one line a kind of value
    if isinstance(value, Seen):
        return change(value)
    if isinstance(value, Parts):
        return Parts(value.name, map_sketch(value.attributes, change))
    if isinstance(value, Difference):
        return Difference(changed=map_sketch(value.changed, change))
    if isinstance(value, dict) and not isinstance(value, FrozenDict):
        return {key: map_sketch(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(map_sketch(item, change) for item in value)
    if isinstance(value, deque):
        return deque((map_sketch(item, change) for item in value), value.maxlen)
    return value


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _same(a: Any, b: Any) -> bool:  # noqa: PLR0911 - one line a kind of value
    if type(a) is not type(b):
        return False
    if isinstance(a, Seen):
        x, y = a.tensor, b.tensor
        if x.dtype != y.dtype or x.shape != y.shape:
            return False
        return bool(torch.equal(x.detach().cpu(), y))
    if isinstance(a, Parts):
        return a.name == b.name and _same(a.attributes, b.attributes)
    if isinstance(a, Code):
        return bool(a.name == b.name)
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and np.array_equal(a, b))
    if isinstance(a, dict) and not isinstance(a, FrozenDict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple, deque)) and not isinstance(a, torch.Size):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _feed(update: Callable[[bytes], None], value: Any) -> None:
    if isinstance(value, Seen):
        tensor = value.tensor.detach().cpu().contiguous()
        update(f"t{tensor.dtype}{tuple(tensor.shape)}".encode())
        update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Parts):
        update(value.name.encode())
        _feed(update, value.attributes)
    elif isinstance(value, np.ndarray):
        update(value.dtype.str.encode() + value.tobytes())
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(value, FrozenDict) and str(key).startswith("_"):
                continue  # where the configuration was loaded from, and by which version
            update(f"k{key!r}".encode())
            _feed(update, item)
    elif isinstance(value, (list, tuple, deque)):
        update(f"l{len(value)}".encode())
        for item in value:
            _feed(update, item)
    else:
        update((value.name if isinstance(value, Code) else repr(value)).encode())
