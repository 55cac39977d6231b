"""Upscale a picture: a network is applied tile by tile, so that runs beside it wait for some tiles at most.

An upscale has no sampler steps and keeps no checkpoint: begun again it gives the same bytes. Its steps are its tiles.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from mezzotint.domain.errors import ModelCorrupt, ModelMissing, OutOfMemory
from mezzotint.engine.device.faults import free_frames, is_out_of_memory
from mezzotint.engine.device.lost import check_device
from mezzotint.engine.errors import RunCancelled
from mezzotint.engine.models.load import release
from mezzotint.engine.upscaler_nets import network_of

TILE_PX = 128  # of the input; some 0.2 s of the shipped network on one core
DEVICE_TILE_PX = 512  # where a small one leaves the device idle
TURN_S = 0.05  # tiles are made for so long, so that a fast device is not given one at a time
FOREIGN_REACH_PX = 32  # seen around a tile where the network does not say how far it looks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Upscaler:
    """network: [1, 3, H, W] in 0..1 -> the same `scale` times as large. reach_px: how far it looks around a pixel."""

    network: Any
    scale: int
    reach_px: int
    device: torch.device

    @classmethod
    def load(cls, path: Path, device: str) -> Self:
        """Read weights: .safetensors, or the .pth of ESRGAN and its kin (read as plain tensors, never unpickled).

        Architectures other than Real-ESRGAN's two need the package spandrel. Raises: ModelMissing, ModelCorrupt.
        """
        weights = _weights(path)
        network: Any = network_of(weights)
        if network is None:
            network = _load_with_spandrel(weights, path)
        reach_px = getattr(network, "reach_px", FOREIGN_REACH_PX)
        return cls(network=network.to(device), scale=network.scale, reach_px=reach_px, device=torch.device(device))

    def begin(self, picture: Image.Image, scale: int, free: Callable[[], None] = release) -> "Upscaling":
        """An upscale to `scale` times the size; call `turn` until it is done. free: called where memory runs out."""
        return Upscaling(self, picture.convert("RGB"), scale, free)


class Upscaling:
    """An upscale under way. output: the picture, or error: why not, once `done`. steps: tiles made."""

    def __init__(self, upscaler: Upscaler, picture: Image.Image, scale: int, free: Callable[[], None]) -> None:
        self.done = False
        self._free = free
        self.output: Image.Image | None = None
        self.error: BaseException | None = None
        self.steps = 0
        self.num_steps = 0
        self.cost_s = 0.0
        self._upscaler, self._scale = upscaler, scale
        self._tile_px = TILE_PX if upscaler.device.type == "cpu" else DEVICE_TILE_PX
        self._wanted = (picture.width * scale, picture.height * scale)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255  # [3, H, W] in 0..1
        self._course = self._run(pixels)

    @property
    def held_bytes(self) -> int:
        """Bytes of the picture that is being made, as float32."""
        return 12 * self._wanted[0] * self._wanted[1]

    def turn(self) -> None:
        """Make tiles for `TURN_S`, at least one."""
        begun = time.perf_counter()
        try:
            next(self._course)
            while time.perf_counter() - begun < TURN_S:
                next(self._course)
        except StopIteration as end:
            self.output, self.done = end.value, True
        except Exception as error:  # noqa: BLE001 - whatever the network raises belongs to this upscale alone
            check_device(self._upscaler.device, error)
            free_frames(error)
            self.error, self.done = (self._explain() if is_out_of_memory(error) else error), True
        self.cost_s += time.perf_counter() - begun

    def _explain(self) -> OutOfMemory:
        width, height = self._wanted
        return OutOfMemory(f"The device's memory ran out while the picture was enlarged to {width} x {height} pixels.")

    def snapshot(self) -> None:
        """None: it begins again."""

    def cancel(self) -> None:
        if not self.done:
            self._course.close()
            self.error, self.done = RunCancelled(), True

    def _run(self, pixels: Tensor) -> Generator[None, None, Image.Image]:
        rounds = 1
        while self._upscaler.scale**rounds < self._scale:
            rounds += 1
        for i in range(rounds):
            height, width = (side * self._upscaler.scale**i for side in pixels.shape[1:])
            self.num_steps += -(-height // self._tile_px) * -(-width // self._tile_px)
        for _ in range(rounds):
            pixels = yield from self._enlarge_once(pixels)
        picture = Image.fromarray(pixels.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy())
        excess = picture.width // self._wanted[0]
        return picture if excess == 1 else picture.reduce(excess)

    def _enlarge_once(self, pixels: Tensor) -> Generator[None, None, Tensor]:
        """[3, H, W] in 0..1 -> the same, enlarged once by the network."""
        scale, reach = self._upscaler.scale, self._upscaler.reach_px
        height, width = pixels.shape[1:]
        made = torch.empty(3, height * scale, width * scale)
        for top in range(0, height, self._tile_px):
            for left in range(0, width, self._tile_px):
                bottom, right = min(top + self._tile_px, height), min(left + self._tile_px, width)
                y, x = max(0, top - reach), max(0, left - reach)
                seen = pixels[:, y : bottom + reach, x : right + reach]
                tile = self._compute_tile(seen)
                inner = tile[:, (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale]
                made[:, top * scale : bottom * scale, left * scale : right * scale] = inner
                self.steps += 1
                yield
        return made

    def _compute_tile(self, seen: Tensor) -> Tensor:
        """[3, h, w] -> the same, enlarged; once more after memory was freed, where it ran out. Raises: OutOfMemory."""
        for _ in range(2):
            try:
                with torch.inference_mode():
                    enlarged: Tensor = self._upscaler.network(seen[None].to(self._upscaler.device))[0].clamp(0, 1).cpu()
                    return enlarged
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                free_frames(error)
            self._free()
        raise self._explain()


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            weights: dict[str, Any] = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelMissing(f"the upscaler's weights are not at {path}") from error
    except Exception as error:  # torch raises half a dozen kinds for a file that is not its own
        raise ModelCorrupt(f"{path} could not be read: {type(error).__name__}") from error
    for name in ("params_ema", "params"):  # how ESRGAN's training wraps them
        if isinstance(weights, dict):
            weights = weights.get(name, weights)
    if not isinstance(weights, dict):
        raise ModelCorrupt(f"{path} holds no tensors by name")
    return {key: tensor.float() for key, tensor in weights.items() if isinstance(tensor, Tensor)}


def _load_with_spandrel(weights: dict[str, Tensor], path: Path) -> Any:
    """A network of any other architecture that spandrel knows."""
    try:
        from spandrel import ImageModelDescriptor, ModelLoader
    except ImportError as error:
        hint = "install `mezzotint[upscalers]` for others"
        raise ModelCorrupt(f"{path} is of neither of Real-ESRGAN's architectures; {hint}") from error
    found = ModelLoader().load_from_state_dict(weights)
    if not isinstance(found, ImageModelDescriptor) or found.input_channels != 3 or found.output_channels != 3:
        raise ModelCorrupt(f"{path} is not a network that enlarges pictures")
    network = found.model.eval().requires_grad_(False)
    network.scale = found.scale
    return network
