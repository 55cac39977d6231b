"""The checkpoint's form: one safetensors file whose metadata holds one JSON document, with a SHA-256 over everything.

The digest stands inside the document; it is computed with its own place filled by zeros, so every byte of the file
counts. Tensors are safetensors tensors, all else is JSON; nothing is pickled and no class named by the bytes is ever
constructed, except diffusers' own output classes for answers during a replay. Bytes may be hostile: whatever is wrong
with them becomes `CheckpointCorrupt`, and no size stated in them is allocated before it is checked.

JSON values stand for themselves; other values are objects with one key:
t tensor · n numpy array · l list · u tuple · d dict as pairs · q deque · p parts of an object · c code · y dtype
v device · z size · j complex · b bytes · x spec of a tensor in a denoiser's output · o output class · k opaque object
"""

import hashlib
import json
import re
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import safetensors.torch
import torch
from diffusers.configuration_utils import FrozenDict
from diffusers.utils import BaseOutput

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.capture import Code, Difference, Parts, Seen
from mezzotint.engine.errors import CannotCheckpoint

FORMAT = 1
MAX_HEADER_BYTES = 1 << 20  # ours take 3 to 8 KiB
MAX_CALLS = 1_000_000
DIGEST = re.compile(rb'\\"sha256\\":\\"([0-9a-f]{64})\\"')
NO_DIGEST = "0" * 64


@dataclass(slots=True, eq=False)
class Specs:
    """The form of each denoiser output so far; equal neighbours are stored once."""

    forms: list[Any] = field(default_factory=list)
    spans: list[list[int]] = field(default_factory=list)  # [index into forms, number of calls]
    _index: dict[str, int] = field(default_factory=dict)

    def add(self, form: Any) -> None:
        index = self._index.setdefault(json.dumps(form), len(self.forms))
        if index == len(self.forms):
            self.forms.append(form)
        if self.spans and self.spans[-1][0] == index:
            self.spans[-1][1] += 1
        else:
            self.spans.append([index, 1])

    def __len__(self) -> int:
        return sum(count for _, count in self.spans)

    def at(self, call: int) -> Any:
        for index, count in self.spans:
            if call < count:
                return self.forms[index]
            call -= count
        raise IndexError(call)

    def copy(self) -> "Specs":
        return Specs(forms=list(self.forms), spans=[list(s) for s in self.spans], _index=dict(self._index))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemberState:
    """A sampler or guider at the boundary; `changed` is None where it had not come to its first step."""

    name: str
    baseline: str
    changed: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """A run at a step boundary, on host memory and independent of the run: may be encoded on any thread.

    steps: sampler steps done. num_calls: denoiser calls done. output: the tensors that the last step returned, the
    latents first; those after it only if the pipeline looks at them.
    """

    pipeline: str
    steps: int
    num_calls: int
    specs: Specs
    output: list[Any]
    members: list[MemberState]
    origin: dict[str, Any]
    fingerprint: dict[str, str]

    def encode(self) -> bytes:
        """The checkpoint file. Raises: CannotCheckpoint if a value has no form in it."""
        packer = _Packer()
        document = {
            "sha256": NO_DIGEST,
            "format": FORMAT,
            "pipeline": self.pipeline,
            "steps": self.steps,
            "num_calls": self.num_calls,
            "specs": {"forms": self.specs.forms, "spans": self.specs.spans},
            "output": packer.pack(self.output),
            "members": [[m.name, m.baseline, packer.pack(m.changed)] for m in self.members],
            "origin": packer.pack(self.origin),
            "fingerprint": self.fingerprint,
        }
        text = json.dumps(document, separators=(",", ":"))
        data = bytearray(safetensors.torch.save(packer.tensors, {"mezzotint": text}))
        found = DIGEST.search(data)
        if found is None:
            raise CannotCheckpoint("the digest has no place in the header")
        data[found.start(1) : found.end(1)] = hashlib.sha256(data).hexdigest().encode()
        return bytes(data)


def verify(data: bytes) -> None:
    """Raises: CheckpointCorrupt unless every byte is as it was written."""
    if len(data) < 8:
        raise CheckpointCorrupt(f"{len(data)} bytes are no checkpoint")
    size = int.from_bytes(data[:8], "little")
    if size > min(MAX_HEADER_BYTES, len(data) - 8):
        raise CheckpointCorrupt("the header's length is wrong")
    found = DIGEST.search(data, 8, 8 + size)
    if found is None:
        raise CheckpointCorrupt("there is no digest")
    digest = hashlib.sha256(data[: found.start(1)])
    digest.update(NO_DIGEST.encode())
    digest.update(memoryview(data)[found.end(1) :])
    if digest.hexdigest().encode() != found.group(1):
        raise CheckpointCorrupt("the digest does not match")


def decode(data: bytes) -> Snapshot:
    """Raises: CheckpointCorrupt for anything that `Snapshot.encode` did not write."""
    verify(data)
    try:
        size = int.from_bytes(data[:8], "little")
        document = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["mezzotint"])
        return _snapshot(document, safetensors.torch.load(data))
    except CheckpointCorrupt:
        raise
    except Exception as error:  # hostile bytes fail in as many ways as there are parsers
        raise CheckpointCorrupt(f"{type(error).__name__}: {str(error)[:200]}") from error


def _snapshot(document: Mapping[str, Any], tensors: dict[str, torch.Tensor]) -> Snapshot:
    if document["format"] != FORMAT:
        raise CheckpointCorrupt(f"format {document['format']!r} is not {FORMAT}")
    steps, num_calls = _count(document["steps"]), _count(document["num_calls"])
    forms = _list(document["specs"]["forms"])
    spans = [[_count(index), _count(count)] for index, count in document["specs"]["spans"]]
    specs = Specs(forms=forms, spans=spans, _index={json.dumps(form): i for i, form in enumerate(forms)})
    if steps < 1 or len(specs) != num_calls or any(index >= len(forms) for index, _ in spans):
        raise CheckpointCorrupt("its counts do not agree")
    unpack = _Unpacker(tensors).unpack
    members = [
        MemberState(name=_text(name), baseline=_text(base), changed=None if state is None else _dict(unpack(state)))
        for name, base, state in document["members"]
    ]
    return Snapshot(
        pipeline=_text(document["pipeline"]),
        steps=steps,
        num_calls=num_calls,
        specs=specs,
        output=_list(unpack(document["output"])),
        members=members,
        origin=_dict(unpack(document["origin"])),
        fingerprint={_text(k): _text(v) for k, v in document["fingerprint"].items()},
    )


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_CALLS:
        raise CheckpointCorrupt("a count is out of range")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise CheckpointCorrupt("a text is missing")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise CheckpointCorrupt("a list is missing")
    return value


def _dict(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise CheckpointCorrupt("a mapping is missing")
    return value


class _Packer:
    """Sketches to JSON; tensors with equal bytes are stored once."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._names: dict[bytes, str] = {}

    def pack(self, value: Any) -> Any:  # noqa: PLR0911 - one line a kind of value
        if value is None or isinstance(value, (bool, int, float, str)):
            return _exact_number(value)
        if isinstance(value, (Seen, torch.Tensor)):
            return {"t": self._store_in_order(value.tensor if isinstance(value, Seen) else value)}
        if isinstance(value, (np.ndarray, np.generic)):
            return {"n": [self._store(torch.from_numpy(np.array(value))), isinstance(value, np.generic)]}
        if isinstance(value, Difference):
            return self.pack(value.changed)
        if isinstance(value, Parts):
            return {"p": [value.name, self.pack(value.attributes)]}
        if isinstance(value, Code):
            return {"c": value.name}
        return self._pack_container(value)

    def _pack_container(self, value: Any) -> Any:  # noqa: PLR0911 - one line a kind of value
        if isinstance(value, dict) and not isinstance(value, FrozenDict):
            return {"d": [[self.pack(key), self.pack(item)] for key, item in value.items()]}
        if isinstance(value, torch.Size):
            return {"z": list(value)}
        if isinstance(value, (list, tuple)):
            return {"l" if isinstance(value, list) else "u": [self.pack(item) for item in value]}
        if isinstance(value, deque):
            return {"q": [value.maxlen, [self.pack(item) for item in value]]}
        if isinstance(value, torch.dtype):
            return {"y": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"v": str(value)}
        if isinstance(value, complex):
            return {"j": [value.real, value.imag]}
        if isinstance(value, bytes):
            return {"b": value.hex()}
        raise CannotCheckpoint(f"{type(value).__qualname__} cannot be written")

    def _store_in_order(self, tensor: torch.Tensor) -> Any:
        """Name of the stored tensor, with the order of its dimensions in memory where that is unusual: kernels choose
        by it, so bits depend on it."""
        if tensor.is_contiguous():
            return self._store(tensor)
        order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
        return [self._store(tensor.permute(order)), order]

    def _store(self, tensor: torch.Tensor) -> str:
        flat = tensor.detach().contiguous()
        kind = f"{flat.dtype}{tuple(flat.shape)}".encode()
        key = hashlib.sha256(kind + flat.reshape(-1).view(torch.uint8).numpy().tobytes()).digest()
        name = self._names.setdefault(key, str(len(self._names)))
        self.tensors[name] = flat
        return name


def _exact_number(value: Any) -> Any:
    """bool, int, float and str subclasses (numpy's float64 is one) as what they hold."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    return value


class _Unpacker:
    """The inverse; each mention of a tensor gets memory of its own."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self._tensors = tensors

    def unpack(self, value: Any) -> Any:  # noqa: C901, PLR0911 - one line a tag
        if not isinstance(value, dict):
            if isinstance(value, list):
                raise CheckpointCorrupt("a bare list")
            return value
        ((tag, body),) = value.items()
        match tag:
            case "t":
                if isinstance(body, str):
                    return self._tensors[body].clone()
                name, order = body
                return self._tensors[name].clone().permute([order.index(dim) for dim in range(len(order))])
            case "n":
                array = self._tensors[body[0]].numpy().copy()
                return array[()] if body[1] else array
            case "l":
                return [self.unpack(item) for item in body]
            case "u":
                return tuple(self.unpack(item) for item in body)
            case "d":
                return {self.unpack(key): self.unpack(item) for key, item in body}
            case "q":
                return deque((self.unpack(item) for item in body[1]), body[0])
            case "p":
                return Parts(_text(body[0]), _dict(self.unpack(body[1])))
            case "c":
                return Code(_text(body))
            case _:
                return _unpack_plain(tag, body)


def _unpack_plain(tag: str, body: Any) -> Any:
    match tag:
        case "z":
            return torch.Size(body)
        case "y":
            return dtype_named(body)
        case "v":
            return torch.device(body)
        case "j":
            return complex(*body)
        case "b":
            return bytes.fromhex(body)
    raise CheckpointCorrupt(f"unknown tag {tag!r:.40}")


def dtype_named(name: Any) -> torch.dtype:
    found = getattr(torch, _text(name), None)
    if not isinstance(found, torch.dtype):
        raise CheckpointCorrupt("unknown dtype")
    return found


def spec_of(output: Any) -> Any:
    """The form of a denoiser's output as JSON: structure, shapes, dtypes, and plain values as they are."""
    if output is None or isinstance(output, (bool, int, float, str)):
        return output
    if isinstance(output, torch.Tensor):
        return {"x": [list(output.shape), str(output.dtype).removeprefix("torch.")]}
    if isinstance(output, BaseOutput):
        fields = [[key, spec_of(item)] for key, item in output.items()]
        return {"o": [type(output).__module__, type(output).__qualname__, fields]}
    if isinstance(output, dict) and all(isinstance(key, str) for key in output):
        return {"d": [[key, spec_of(item)] for key, item in output.items()]}
    if isinstance(output, (list, tuple)):
        return {"l" if isinstance(output, list) else "u": [spec_of(item) for item in output]}
    return {"k": type(output).__qualname__}


def has_opaque(form: Any) -> bool:
    """Whether a replay cannot answer a call of this form."""
    if not isinstance(form, dict):
        return False
    if "k" in form:
        return True
    return '{"k":' in json.dumps(form)


def zeros_of(form: Any, device: torch.device, max_bytes: int) -> Any:
    """An output of this form, all zeros. Raises: CheckpointCorrupt if it is malformed or larger than `max_bytes`."""
    if _spec_bytes(form) > max_bytes:
        raise CheckpointCorrupt("it describes an output out of all proportion to the call")
    return _zeros(form, device)


def _spec_bytes(form: Any) -> int:
    if not isinstance(form, dict):
        return 0
    ((tag, body),) = form.items()
    if tag == "x":
        count = 1
        for size in body[0]:
            count *= _count(size)
        return count * dtype_named(body[1]).itemsize
    items = {"o": lambda: [item for _, item in body[2]], "d": lambda: [item for _, item in body]}.get(
        tag, lambda: body
    )()
    return sum(_spec_bytes(item) for item in items)


def _zeros(form: Any, device: torch.device) -> Any:
    if not isinstance(form, dict):
        return form
    ((tag, body),) = form.items()
    match tag:
        case "x":
            return torch.zeros(body[0], dtype=dtype_named(body[1]), device=device)
        case "l":
            return [_zeros(item, device) for item in body]
        case "u":
            return tuple(_zeros(item, device) for item in body)
        case "d":
            return {key: _zeros(item, device) for key, item in body}
        case "o":
            return _output_class(body[0], body[1])(**{key: _zeros(item, device) for key, item in body[2]})
    raise CheckpointCorrupt("an output of unknown form")


def _output_class(module: Any, name: Any) -> type[BaseOutput]:
    """Only classes that are already loaded, and only diffusers' output classes."""
    found = getattr(sys.modules.get(_text(module)), _text(name), None)
    if not (isinstance(found, type) and issubclass(found, BaseOutput)):
        raise CheckpointCorrupt("an output class that diffusers does not have")
    return cast(type[BaseOutput], found)
