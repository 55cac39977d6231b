"""The form of a checkpoint: a safetensors file whose metadata holds one JSON document, with a SHA-256 over everything.

The digest stands inside the document; it is computed with its own place filled by zeros, so every byte of the file
counts. Tensors are safetensors tensors, all else is JSON (`codec.py`, `output_shapes.py`); nothing is pickled and no
class named by the bytes is ever constructed, except diffusers' own output classes for answers during a replay. Bytes
may be hostile: whatever is wrong with them becomes `CheckpointCorrupt`, and no size stated in them is allocated before
it is checked.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import safetensors.torch
import torch

from mezzotint.domain.errors import CheckpointCorrupt, FingerprintMismatch, OutOfMemory
from mezzotint.engine.checkpoint.codec import VersionedTensor
from mezzotint.engine.checkpoint.output_shapes import OutputShapes
from mezzotint.engine.checkpoint.sampler_state import MemberState, tensor_digest
from mezzotint.engine.device.faults import is_out_of_memory
from mezzotint.engine.errors import CannotCheckpoint

FORMAT = 4
MAX_HEADER_BYTES = 1 << 20  # ours take 3 to 8 KiB
MAX_CALLS = 1_000_000
DIGEST = re.compile(rb'\\"sha256\\":\\"([0-9a-f]{64})\\"')
NO_DIGEST = "0" * 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """A run at a step boundary, on host memory and independent of the run: may be encoded on any thread.

    steps: sampler steps done. num_calls: denoiser calls done. output: the tensors that the last step returned, the
    latents first; those after it only if the pipeline looks at them. earlier: [step, output] of the last steps of other
    samplers, such as a prior's. forecast: state of the run's forecaster, where it has one.
    """

    pipeline: str
    steps: int
    num_calls: int
    specs: OutputShapes
    output: list[Any]
    earlier: list[Any]
    members: list[MemberState]
    origin: dict[str, Any]
    fingerprint: dict[str, str]
    forecast: dict[str, Any] | None = None

    @property
    def num_foretold(self) -> int:
        """Denoiser calls among `num_calls` that no pass answered."""
        return 0 if self.forecast is None else int(self.forecast["foretold"])

    def check_origin(self, pipeline: str, fingerprint: Mapping[str, str], *, allow_other_numerics: bool) -> bool:
        """Check that a run of this pipeline class and fingerprint may go on from here.

        Returns whether its numerics are other ones, which it is refused for unless `allow_other_numerics`.
        Raises: CheckpointCorrupt, FingerprintMismatch.
        """
        if self.pipeline != pipeline:
            raise CheckpointCorrupt(f"it belongs to a {self.pipeline[:80]}")
        other = [key for key, value in fingerprint.items() if self.fingerprint.get(key) != value]
        if other and not allow_other_numerics:
            raise FingerprintMismatch(f"differs in {', '.join(other)}")
        return bool(other)

    def encode(self) -> bytes:
        """The checkpoint file. Raises: CannotCheckpoint if a value has no form in it."""
        document = {
            "sha256": NO_DIGEST,
            "format": FORMAT,
            "pipeline": self.pipeline,
            "steps": self.steps,
            "num_calls": self.num_calls,
            "specs": [self.specs.forms, self.specs.spans],
            "output": self.output,
            "earlier": self.earlier,
            "members": [
                [m.name, m.baseline, None if m.changed is None else [*m.changed.items()]] for m in self.members
            ],
            "forecast": self.forecast,
            "origin": self.origin,
            "fingerprint": self.fingerprint,
        }
        tensors: dict[str, torch.Tensor] = {}
        text = json.dumps(document, separators=(",", ":"), default=lambda seen: _store_tensor(seen, tensors))
        data = bytearray(safetensors.torch.save(tensors, {"mezzotint": text}))
        found = DIGEST.search(data)
        if found is None:
            raise CannotCheckpoint("the digest has no place in the header")
        data[found.start(1) : found.end(1)] = hashlib.sha256(data).hexdigest().encode()
        return bytes(data)


def _store_tensor(seen: Any, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The tensor's name in the file, where equal ones are stored once, and the order of its dimensions in memory:
    kernels choose by it, so bits depend on it."""
    if not isinstance(seen, VersionedTensor):
        raise CannotCheckpoint(f"{type(seen).__qualname__} cannot be written")
    order = sorted(range(seen.tensor.ndim), key=seen.tensor.stride, reverse=True)
    if seen.tensor.is_contiguous():
        order.sort()
    flat = seen.tensor.detach().permute(order).clone(memory_format=torch.contiguous_format)
    name = tensor_digest(VersionedTensor(flat))[:16]
    tensors[name] = flat
    return {"t": [name, order]}


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
    """Raises: CheckpointCorrupt for anything that `Snapshot.encode` did not write, OutOfMemory.

    The encoded values in it are checked where they are put back.
    """
    verify(data)
    try:
        size = int.from_bytes(data[:8], "little")
        tensors = safetensors.torch.load(data)
        text = json.loads(data[8 : 8 + size])["__metadata__"]["mezzotint"]
        return _snapshot(json.loads(text, object_hook=lambda found: _tensor(found, tensors)))
    except CheckpointCorrupt:
        raise
    except Exception as error:  # hostile bytes fail in as many ways as there are parsers
        if is_out_of_memory(error):
            raise OutOfMemory("Memory ran out while the job's checkpoint was read.") from error
        raise CheckpointCorrupt(f"{type(error).__name__}: {str(error)[:200]}") from error


def _tensor(found: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> Any:
    if found.keys() != {"t"}:
        return found
    name, order = found["t"]
    return VersionedTensor(tensors[name].permute([order.index(dim) for dim in range(len(order))]))


def _snapshot(document: Mapping[str, Any]) -> Snapshot:
    if document["format"] != FORMAT:
        raise CheckpointCorrupt(f"format {document['format']!r} is not {FORMAT}")
    steps, num_calls = _count(document["steps"]), _count(document["num_calls"])
    forms, spans = document["specs"]
    specs = OutputShapes(forms=_is(forms, list), spans=[[_count(index), _count(count)] for index, count in spans])
    if steps < 1 or len(specs) != num_calls or any(index >= len(forms) for index, _ in spans):
        raise CheckpointCorrupt("the counts contradict each other")
    forecast = document["forecast"]
    if forecast is not None and _count(_is(forecast, dict)["foretold"]) > num_calls:
        raise CheckpointCorrupt("the counts contradict each other")
    return Snapshot(
        pipeline=_is(document["pipeline"], str),
        steps=steps,
        num_calls=num_calls,
        specs=specs,
        output=_is(document["output"], list),
        earlier=[[_count(step), _is(output, list)] for step, output in _is(document["earlier"], list)],
        members=[
            MemberState(name=_is(name, str), baseline=_is(base, str), changed=None if state is None else dict(state))
            for name, base, state in _is(document["members"], list)
        ],
        forecast=None if forecast is None else dict(forecast),
        origin=_is(document["origin"], dict),
        fingerprint={key: _is(value, str) for key, value in document["fingerprint"].items()},
    )


def _count(value: Any) -> int:
    if not 0 <= _is(value, int) <= MAX_CALLS:
        raise CheckpointCorrupt("a count is out of range")
    return int(value)


def _is(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise CheckpointCorrupt(f"a {kind.__name__} is missing")
    return value
