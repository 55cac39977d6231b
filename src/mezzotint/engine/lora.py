"""LoRA adapters, switched on for one run at a time.

Adapters are loaded into the modules (`pipeline.load_lora_weights(..., adapter_name=...)`). The set of active adapters,
with their weights, is a state of those modules, which all runs share. So it is kept per run and applied around all that
a run does: its own code, which calls the text encoders, and its denoiser calls. A run has the adapters that it names
and no others. Between turns the modules are as they were found. An adapter fused into the weights acts for every run.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mezzotint.engine.errors import UnknownAdapter
from mezzotint.engine.numerics import hash_tensor, modules_of


@dataclass(frozen=True, slots=True)
class ActiveLoras:
    """Adapters by name, each with its weight. digest: of the adapters' own weights, whatever their names."""

    weights: tuple[tuple[str, float], ...] = ()
    digest: str = ""


class LoraSwitcher:
    """Switches adapters on the layers of one pipeline."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._loaded: dict[str, int] = {}
        self._digests: dict[str, str] = {}
        self._layers: list[Any] = []
        self._found: list[tuple[list[str], dict[str, float]]] = []
        self._applied: ActiveLoras | None = None  # None: as they were found

    def load(self, name: str, path: Path) -> int:
        """Load an adapter from a file, of any format that `load_style` takes. It acts for no run that does not name it.

        Returns its bytes. Raises whatever diffusers does; then the modules are as before. Not to be called in a turn.
        """
        from mezzotint.engine.models.styles import load_style

        try:
            load_style(self._pipeline, path, name)
            self._list_layers()
            num_bytes = sum(_settle_adapter(layer, name) for layer in self._layers)
        except Exception:
            self.drop(name)
            raise
        return num_bytes

    def drop(self, name: str) -> None:
        """Delete an adapter from the modules, wherever it is. Not to be called in a turn."""
        self._pipeline.delete_adapters(name)
        self._list_layers()

    def select(self, adapters: Mapping[str, float]) -> ActiveLoras:
        """Raises: UnknownAdapter unless each is loaded."""
        if not adapters:
            return ActiveLoras()
        self._list_layers()
        names = {path.rpartition(":")[2] for path in self._loaded}
        for name in adapters:
            if name not in names:
                raise UnknownAdapter(f"{name!r}; loaded are {', '.join(sorted(names)) or 'none'}")
        weights = tuple(sorted((name, float(weight)) for name, weight in adapters.items()))
        return ActiveLoras(weights, self._digest([name for name, _ in weights]))

    def apply(self, wanted: ActiveLoras) -> None:
        if wanted == self._applied:
            return
        if self._applied is None:
            self._list_layers()
            self._found = [
                ([] if layer.disable_adapters else layer.active_adapters, dict(layer.scaling)) for layer in self._layers
            ]
        for layer in self._layers:
            _activate(layer, [name for name, _ in wanted.weights])
            for name, weight in wanted.weights:
                layer.set_scale(name, weight)
        self._applied = wanted

    def restore(self) -> None:
        """Leave the layers as they were found."""
        if self._applied is None:
            return
        for layer, (names, scaling) in zip(self._layers, self._found, strict=True):
            _activate(layer, names)
            layer.scaling.update(scaling)
        self._applied = None

    def _list_layers(self) -> None:
        """List the layers anew where adapters have come or gone."""
        loaded = {
            f"{path}:{name}": id(config)
            for path, module in modules_of(self._pipeline).items()
            for name, config in (getattr(module, "peft_config", None) or {}).items()
        }
        if loaded == self._loaded or self._applied is not None:
            return
        from peft.tuners.tuners_utils import BaseTunerLayer  # costs seconds, and most pipelines have no adapter

        self._loaded = loaded
        self._digests = {}  # on a GPU reading the weights of an adapter anew for every run would take long
        self._layers = [
            layer
            for module in modules_of(self._pipeline).values()
            for layer in module.modules()
            if isinstance(layer, BaseTunerLayer) and not layer.merged
        ]

    def _digest(self, names: list[str]) -> str:
        for name in names:
            if name not in self._digests:
                self._digests[name] = self._digest_one(name)
        return hashlib.sha256("".join(self._digests[name] for name in names).encode()).hexdigest()

    def _digest_one(self, name: str) -> str:
        digest = hashlib.sha256()
        for layer in self._layers:
            for kind in layer.adapter_layer_names:
                for key, tensor in getattr(layer, kind).state_dict().items():
                    if key == name or key.startswith(f"{name}."):
                        hash_tensor(digest, kind, tensor)
        return digest.hexdigest()


def _settle_adapter(layer: Any, name: str) -> int:
    """Bring a new adapter of a layer to the layer's own dtype and device, and switch it off. Returns its bytes."""
    base, num_bytes = layer.get_base_layer().weight, 0
    for kind in layer.adapter_layer_names:
        parts = getattr(layer, kind)
        if name in parts and isinstance(parts[name], torch.nn.Module):
            if base.is_floating_point():
                parts[name].to(base.device, base.dtype)
            num_bytes += sum(weight.numel() * weight.element_size() for weight in parts[name].parameters())
    _activate(layer, [])
    return num_bytes


def _activate(layer: Any, names: list[str]) -> None:
    layer.enable_adapters(enabled=bool(names))  # asks for gradients, which the next line takes back
    layer.set_adapter(names, inference_mode=True)
