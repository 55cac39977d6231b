"""A cache of text embeddings: the same prompt, and above all the empty one, is read once.

The cache stands before each text encoder's `forward` and is exact: its key is the bytes of every tensor argument, all
plain arguments, and the autocast state. What comes back are copies, so a pipeline may write into them. Entries lie in
host memory: a device's own is for weights and passes.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

from mezzotint.engine.device.faults import free_frames, is_out_of_memory
from mezzotint.engine.tree import map_leaves, tensors_in

MAX_BYTES = 256 * 2**20
"""Some 33 prompts of SDXL, whose encoders give all hidden states (8 MB in float16), thousands of the starter model."""
TEXT_ENCODER = re.compile(r"text_encoder(_\d+)?")


class EmbeddingCache:
    """Outputs of text encoders, the least recently used going first once `max_bytes` of tensors are held."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.num_hits = 0
        self.num_misses = 0
        self.held_bytes = 0
        self._entries: OrderedDict[bytes, tuple[Any, list[torch.device]]] = OrderedDict()

    def attach(self, pipeline: Any) -> None:
        """Stand before every text encoder of the pipeline, but those that are moved between devices call by call."""
        for name, module in pipeline.components.items():
            if TEXT_ENCODER.fullmatch(name) and isinstance(module, torch.nn.Module) and not hasattr(module, "_hf_hook"):
                module.forward = self._cache_forward(name, module, module.forward)

    def _cache_forward(self, name: str, module: torch.nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def cached_forward(*args: Any, **kwargs: Any) -> Any:
            # adapters in the encoder change from run to run
            is_unknown = torch.is_grad_enabled() or bool(getattr(module, "peft_config", None))
            key = None if is_unknown else key_of(name, args, kwargs)
            if key is None:
                return forward(*args, **kwargs)
            if key in self._entries:
                self.num_hits += 1
                self._entries.move_to_end(key)
                output, devices = self._entries[key]
                left = iter(devices)
                return map_leaves(
                    output, lambda leaf: leaf.to(next(left), copy=True) if isinstance(leaf, torch.Tensor) else leaf
                )
            self.num_misses += 1
            output = forward(*args, **kwargs)
            self._keep(key, output)
            return output

        return cached_forward

    def _keep(self, key: bytes, output: Any) -> None:
        if size_of(output) > self.max_bytes:
            return
        try:
            entry = _copy_to_host(output)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_frames(error)
            self._entries.clear()  # the run needs the memory more
            self.held_bytes = 0
            return
        num_bytes = size_of(entry[0])
        self._entries[key] = entry
        self.held_bytes += num_bytes
        while self.held_bytes > self.max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.held_bytes -= size_of(oldest[0])


def key_of(name: str, args: Any, kwargs: Any) -> bytes | None:
    """A digest of everything that decides the output; None where an argument has no plain form."""
    digest = hashlib.sha256(f"{name} {torch.is_autocast_enabled()}".encode())
    for label, value in [*enumerate(args), *sorted(kwargs.items())]:
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous()
            digest.update(f"{label} {plain.dtype} {tuple(plain.shape)} {value.device}".encode())
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
        elif value is None or isinstance(value, bool | int | float | str):
            digest.update(f"{label} {value!r}".encode())
        else:
            return None
    return digest.digest()


def size_of(output: Any) -> int:
    """Bytes of its tensors; one that stands in several places counts once."""
    tensors = {id(tensor): tensor for tensor in tensors_in(output)}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _copy_to_host(output: Any) -> tuple[Any, list[torch.device]]:
    """A copy in host memory, and the devices of its tensors from left to right. A tensor is copied once."""
    tensors = {id(tensor): tensor for tensor in tensors_in(output)}
    copies = {key: tensor.detach().to("cpu", copy=True) for key, tensor in tensors.items()}
    devices = [tensor.device for tensor in tensors_in(output)]
    return map_leaves(output, lambda leaf: copies[id(leaf)] if isinstance(leaf, torch.Tensor) else leaf), devices
