"""Putting a saved state into the objects of a replayed run.

The replay has gone through the same calls, so it holds objects of the same classes at the same places; saved values are
grafted onto them and nothing is constructed from names in the checkpoint. Whatever does not fit is CheckpointCorrupt.
"""

from collections import deque
from typing import Any

import numpy as np
import torch

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.capture import Baseline, Code, Parts, Seen, difference
from mezzotint.engine.checkpoint import MemberState
from mezzotint.engine.tree import map_leaves


def restore_member(target: Any, base: Baseline | None, saved: MemberState, device: torch.device) -> None:
    """Make `target` what it was: its baseline plus the saved changes.

    Raises: CheckpointCorrupt if it is another sampler, or one set up for another call.
    """
    if saved.name != type(target).__qualname__ or (saved.changed is None) != (base is None):
        raise CheckpointCorrupt(f"it was made with {saved.name[:80]}, this run has {type(target).__qualname__}")
    if base is None or saved.changed is None:
        return
    if saved.baseline != base.digest():
        raise CheckpointCorrupt("the sampler was set up for another call")
    held = vars(target)
    for name in difference(target, base).changed:
        if name in base.raw:
            held[name] = graft(held[name], base.sketches[name], device)
        else:
            del held[name]
    for name, value in saved.changed.items():
        held[name] = graft(held.get(name), value, device)


def graft(current: Any, saved: Any, device: torch.device) -> Any:
    """`saved` as a live value, its tensors on the device of those it replaces (else on `device`).

    Raises: CheckpointCorrupt if it names an object that is not there.
    """
    if isinstance(saved, Seen):
        saved = saved.tensor.clone()
    if isinstance(saved, torch.Tensor):
        return saved.to(current.device if isinstance(current, torch.Tensor) else device)
    if isinstance(saved, Parts):
        return _graft_parts(current, saved, device)
    if isinstance(saved, Code):
        return current
    if isinstance(saved, dict):
        held = current if isinstance(current, dict) else {}
        return {key: graft(held.get(key), item, device) for key, item in saved.items()}
    if isinstance(saved, (list, tuple, deque)) and not isinstance(saved, torch.Size):
        old = list(current) if isinstance(current, (list, tuple, deque)) else []
        old += [None] * (len(saved) - len(old))
        grafted = [graft(was, item, device) for was, item in zip(old, saved, strict=False)]
        return deque(grafted, saved.maxlen) if isinstance(saved, deque) else type(saved)(grafted)
    return saved.copy() if isinstance(saved, np.ndarray) else saved


def _graft_parts(current: Any, saved: Parts, device: torch.device) -> Any:
    if isinstance(current, torch.Generator) and saved.name == "torch.Generator":
        state = saved.attributes["state"]
        current.set_state(state.tensor if isinstance(state, Seen) else state)
        return current
    if type(current).__qualname__ != saved.name or not hasattr(current, "__dict__"):
        raise CheckpointCorrupt(f"there is no {saved.name[:80]} to restore")
    held = vars(current)
    for name in list(held):
        if name not in saved.attributes:
            del held[name]
    for name, value in saved.attributes.items():
        held[name] = graft(held.get(name), value, device)
    return current


def graft_output(current: Any, saved: list[Any]) -> Any:
    """The replay's own step output with the saved tensors in the place of its first ones.

    Raises: CheckpointCorrupt if there are more of them, or of another shape or dtype.
    """
    waiting = list(saved)

    def replace(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or not waiting:
            return leaf
        tensor = waiting.pop(0)
        if not isinstance(tensor, torch.Tensor) or tensor.shape != leaf.shape or tensor.dtype != leaf.dtype:
            raise CheckpointCorrupt("its latents have another shape or dtype")
        return tensor.to(leaf.device)

    output = map_leaves(current, replace)
    if waiting or not saved:
        raise CheckpointCorrupt("its step output has another form")
    return output
