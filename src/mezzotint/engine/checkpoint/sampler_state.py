"""The state of a run's samplers and guiders at a step boundary, as changes to what a replay makes by itself.

The baseline is the object at its own first `step`, after `set_timesteps`. A replayed run makes the same baseline, so
the big tables of a sampler never enter a checkpoint. A digest of the baseline does, and a checkpoint is refused where
it differs.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.checkpoint.codec import VersionedTensor, copy_to_host, decode_into, encode, is_equal, version_of
from mezzotint.engine.tree import map_leaves

ATOMS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)


@dataclass(slots=True, eq=False)
class Baseline:
    """A sampler or guider at its first step. raw: its attributes; encoded: copies of their values at that moment."""

    raw: dict[str, Any]
    versions: dict[str, int]
    encoded: dict[str, Any]

    def digest(self) -> str:
        """SHA-256 of everything in it, the same in every process that makes the same call."""
        return hashlib.sha256(json.dumps(self.encoded, sort_keys=True, default=tensor_digest).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemberState:
    """A sampler or guider at a boundary; `changed`, its attributes as encoded, is None where it had not come to its
    first step."""

    name: str
    baseline: str
    changed: dict[str, Any] | None


def tensor_digest(seen: VersionedTensor) -> str:
    """SHA-256 of a tensor's bits, dtype and shape."""
    # a single value may have any stride
    tensor = seen.tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    digest = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def take_baseline(target: Any) -> Baseline:
    """The object as it is now."""
    raw = dict(vars(target))
    versions = {name: version_of(value) for name, value in raw.items() if isinstance(value, torch.Tensor)}
    # own copies: some samplers write into their tables
    return Baseline(raw=raw, versions=versions, encoded={name: copy_to_host(encode(v), {}) for name, v in raw.items()})


def find_changes(target: Any, base: Baseline) -> dict[str, Any]:
    """The attributes of `target` that its baseline did not hold so.

    Values are compared by identity first: nearly all attributes of a sampler never change.
    """
    changed = {}
    for name, value in vars(target).items():
        if base.raw.get(name, base) is value:
            if isinstance(value, torch.Tensor):
                if not value.is_inference() and version_of(value) == base.versions[name]:
                    continue
            elif isinstance(value, ATOMS):
                continue
        now = encode(value)
        if name not in base.raw or not is_equal(now, base.encoded[name]):
            changed[name] = now
    return changed


def restore(target: Any, base: Baseline | None, saved: MemberState, device: torch.device) -> None:
    """Make `target` what it was: its baseline plus the saved changes.

    Raises: CheckpointCorrupt if it is another sampler, one set up for another call, or the state cannot be put back.
    """
    if saved.name != type(target).__qualname__ or (saved.changed is None) != (base is None):
        raise CheckpointCorrupt(f"it was made with {saved.name[:80]}, this run has {type(target).__qualname__}")
    if base is None or saved.changed is None:
        return
    if saved.baseline != base.digest():
        raise CheckpointCorrupt("the sampler was set up for another call")
    held = vars(target)
    undone = {name: base.encoded.get(name) for name in find_changes(target, base)}
    try:
        for name, form in (undone | saved.changed).items():
            if name in saved.changed or name in base.raw:
                held[name] = decode_into(held.get(name), form, device)
            else:
                del held[name]
    except CheckpointCorrupt:
        raise
    except Exception as error:  # a forged state fails in as many ways as there are kinds of value
        raise CheckpointCorrupt(f"a state cannot be put back: {type(error).__name__}") from error


def replace_output(current: Any, saved: list[Any]) -> Any:
    """The replay's own step output with the saved tensors in the place of its first ones.

    Raises: CheckpointCorrupt if there are more of them, or of another shape or dtype.
    """
    waiting = list(saved)

    def replace(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or not waiting:
            return leaf
        seen = waiting.pop(0)
        if not isinstance(seen, VersionedTensor) or seen.tensor.shape != leaf.shape or seen.tensor.dtype != leaf.dtype:
            raise CheckpointCorrupt("its latents have another shape or dtype")
        return seen.tensor.clone().to(leaf.device)

    output = map_leaves(current, replace)
    if waiting or not saved:
        raise CheckpointCorrupt("its step output has another form")
    return output
