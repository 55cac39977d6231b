"""The JSON form of values that samplers and guiders hold: it is compared, hashed, written and put back.

An encoded value is None, a bool, int, float or str, or a dict with one key, its tag. Only tensors stand in it as
themselves: as `VersionedTensor`, together with their version counters. So encoding costs microseconds, and a step
boundary can be saved although the run has gone on, unless a tensor was written to since
(`VersionedTensor.is_current`).

l list · u tuple · d dict as pairs · q deque · n numpy array · g generator · p parts of a plain object · c code
z size · y dtype · v device · j complex · b bytes · t tensor (in a file only)

The forms of denoiser outputs (`output_shapes.py`) share l, u and d with it.
"""

import sys
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from diffusers.configuration_utils import FrozenDict
from diffusers.utils import BaseOutput

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.errors import CannotCheckpoint
from mezzotint.engine.proxy import WatchedStep

# code, not data: a replay holds the same by itself
CODE = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, type, torch.nn.Module, WatchedStep)
MAX_DEPTH = 12


@dataclass(frozen=True, slots=True, eq=False)
class VersionedTensor:
    """A tensor as it was: valid while its version counter has not moved."""

    tensor: torch.Tensor
    version: int = 0

    def is_current(self) -> bool:
        return version_of(self.tensor) == self.version


def version_of(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def read_dtype(name: Any) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise CheckpointCorrupt("unknown dtype")
    return found


def read_output_class(module: Any, name: Any) -> type[BaseOutput]:
    """Raises: CheckpointCorrupt for any class but diffusers' output classes, and for one that is not loaded yet."""
    found = getattr(sys.modules.get(module), name, None)
    if not (isinstance(found, type) and issubclass(found, BaseOutput)):
        raise CheckpointCorrupt("an output class that diffusers does not have")
    return cast(type[BaseOutput], found)


WRITERS: dict[type, Any] = {
    torch.Size: lambda size: {"z": list(size)},
    torch.dtype: lambda dtype: {"y": str(dtype).removeprefix("torch.")},
    torch.device: lambda device: {"v": str(device)},
    complex: lambda number: {"j": [number.real, number.imag]},
    bytes: lambda data: {"b": data.hex()},
    torch.Generator: lambda generator: {"g": VersionedTensor(generator.get_state())},
}
READERS: dict[str, Any] = {
    "z": torch.Size,
    "y": read_dtype,
    "v": torch.device,
    "j": lambda body: complex(*body),
    "b": bytes.fromhex,
}


def encode(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 - one line a kind of value
    """Raises: CannotCheckpoint for what is neither data nor code, or nested too deeply."""
    for kind in (bool, int, float, str):  # numpy's float64 is a float
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        return VersionedTensor(value, version_of(value))
    if isinstance(value, CODE):
        return {"c": str(getattr(value, "__qualname__", type(value).__name__))}
    if type(value) in WRITERS:
        return WRITERS[type(value)](value)
    if isinstance(value, FrozenDict):  # a configuration; where it was loaded from, and by which version, is no matter
        return {"c": repr({key: item for key, item in value.items() if not str(key).startswith("_")})}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
        return {"n": [VersionedTensor(torch.from_numpy(np.array(value))), isinstance(value, np.generic)]}
    return _encode_nested(value, depth)


def _encode_nested(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise CannotCheckpoint(f"{type(value).__name__}: nested too deeply")
    if isinstance(value, deque):
        return {"q": [value.maxlen, [encode(item, depth + 1) for item in value]]}
    if isinstance(value, (dict, list, tuple)):
        return encode_container(value, lambda item: encode(item, depth + 1))
    if hasattr(value, "__dict__"):
        return {"p": [type(value).__qualname__, encode(vars(value), depth + 1)]}
    raise CannotCheckpoint(f"{type(value).__qualname__} cannot be written")


def encode_container(value: Any, encode_item: Callable[[Any], Any]) -> dict[str, Any]:
    """A dict, list or tuple under its tag."""
    if isinstance(value, dict):
        return {"d": [[encode_item(key), encode_item(item)] for key, item in value.items()]}
    return {"l" if isinstance(value, list) else "u": [encode_item(item) for item in value]}


def is_equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(is_equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(is_equal, a, b))
    if isinstance(a, VersionedTensor):
        mine, theirs = a.tensor.detach().cpu(), b.tensor.detach().cpu()
        return mine.dtype == theirs.dtype and mine.shape == theirs.shape and bool(torch.equal(mine, theirs))
    return bool(a == b)


def copy_to_host(form: Any, copies: dict[int, VersionedTensor]) -> Any:
    """The encoded value with host copies of its tensors, one for each tensor in `copies` (by id).

    Raises: CannotCheckpoint if a tensor was written to since.
    """
    if isinstance(form, dict):
        return {key: copy_to_host(item, copies) for key, item in form.items()}
    if isinstance(form, list):
        return [copy_to_host(item, copies) for item in form]
    if not isinstance(form, VersionedTensor):
        return form
    if not form.is_current():
        raise CannotCheckpoint("a tensor of the sampler was overwritten after the step")
    if id(form.tensor) not in copies:
        copies[id(form.tensor)] = VersionedTensor(form.tensor.detach().to("cpu", copy=True))
    return copies[id(form.tensor)]


def decode_into(current: Any, form: Any, device: torch.device) -> Any:  # noqa: PLR0911 - one line a tag
    """The encoded value as a live one in the place of `current`, its tensors on the device of those they replace.

    A replay holds objects of the same classes at the same places, and what was saved is put into them: nothing is
    constructed from names in a checkpoint. Raises: CheckpointCorrupt for an object that is not there, or any exception
    for a form that `encode` never makes.
    """
    if isinstance(form, VersionedTensor):
        return form.tensor.clone().to(current.device if isinstance(current, torch.Tensor) else device)
    if isinstance(form, list):
        raise CheckpointCorrupt("a bare list")
    if not isinstance(form, dict):
        return form
    ((tag, body),) = form.items()
    match tag:
        case "c":
            return current
        case "d":
            held = current if isinstance(current, dict) else {}
            keys = [decode_into(None, key, device) for key, _ in body]
            return {key: decode_into(held.get(key), item, device) for key, (_, item) in zip(keys, body, strict=True)}
        case "l" | "u":
            return (list if tag == "l" else tuple)(_decode_items(current, body, device))
        case "q":
            return deque(_decode_items(current, body[1], device), body[0])
        case "n":
            array = body[0].tensor.numpy().copy()
            return array[()] if body[1] else array
        case "g" | "p":
            return _decode_object(current, tag, body, device)
    return READERS[tag](body)


def _decode_items(current: Any, items: list[Any], device: torch.device) -> list[Any]:
    old = list(current) if isinstance(current, (list, tuple, deque)) else []
    old += [None] * (len(items) - len(old))
    return [decode_into(was, item, device) for was, item in zip(old, items, strict=False)]


def _decode_object(current: Any, tag: str, body: Any, device: torch.device) -> Any:
    if tag == "g" and isinstance(current, torch.Generator):
        current.set_state(body.tensor)
        return current
    name = body[0] if tag == "p" else "Generator"
    if tag == "g" or type(current).__qualname__ != name or not hasattr(current, "__dict__"):
        raise CheckpointCorrupt(f"there is no {name[:80]} to restore")
    restored = decode_into(vars(current), body[1], device)
    vars(current).clear()
    vars(current).update(restored)
    return current
