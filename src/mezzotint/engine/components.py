"""Calls of text encoders and autoencoders by runs: kept within memory, finite, and without a trace in the modules.

These modules belong to all runs of a model. A run that fails in one of them fails alone, and leaves it as it was.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from mezzotint.domain.errors import NotFinite, OutOfMemory
from mezzotint.engine.device.faults import free_frames, is_out_of_memory
from mezzotint.engine.numerics import Numerics, is_finite, modules_of
from mezzotint.engine.proxy import ComponentCall
from mezzotint.engine.tree import tensors_in

TILED_ABOVE_PX = 1536 * 1024
"""On a device with memory of its own, larger pictures are decoded tile by tile: whether, depends on the size alone."""
NARROW_TILE_PX = 512
"""Side of a tile after memory ran out, in fast mode. A float32 decoder of SDXL takes about 1 GiB for one."""


class Part(StrEnum):
    """The part of a call in which memory ran out, in words for the job's owner."""

    READ = "while the prompt was read"
    ENCODE = "while the given picture was encoded"
    DECODE = "while the picture was decoded"


PARTS = {"encode": Part.ENCODE, "decode": Part.DECODE}


class Components:
    """A pipeline's modules beside its denoisers.

    evict_idle: frees what the model's neighbours in memory hold, where they are idle; set by whoever keeps several.
    """

    def __init__(self, pipeline: Any, numerics: Numerics) -> None:
        self.evict_idle: Callable[[], None] = lambda: None
        self._numerics = numerics
        self._dtypes = [
            (tensor, tensor.dtype)
            for module in modules_of(pipeline).values()
            if not hasattr(module, "_hf_hook")
            for tensor in (*module.parameters(), *module.buffers())
            if tensor.is_floating_point()
        ]
        self._largest_px: dict[Part, int] = {}

    def call(self, call: ComponentCall) -> Any:
        """Make the call; once more after memory was freed, where it ran out. Raises: OutOfMemory, NotFinite."""
        part, num_px = PARTS.get(call.method, Part.READ), _num_px(call)
        tile_px = None
        if self._numerics.device.type != "cpu" and num_px > TILED_ABOVE_PX:
            tile_px = max(_tile_sides(call.module), default=None)
        done, output = self._try(call, tile_px)
        if not done:
            self.free()
            # bits must not depend on what memory was free: exact mode makes the same call again
            done, output = self._try(call, tile_px if self._numerics.exact else NARROW_TILE_PX)
        if not done:
            raise OutOfMemory(self._explain(part, num_px))
        if part is Part.DECODE and not is_finite(list(tensors_in(output))):
            raise NotFinite("in the decoded picture")
        self._largest_px[part] = max(num_px, self._largest_px.get(part, 0))
        return output

    def free(self) -> None:
        """Free what is not in use."""
        self.evict_idle()
        self._numerics.relieve()

    def restore_dtypes(self) -> None:
        """Undo the casts of a call that ended between a cast and the cast back."""
        for tensor, dtype in self._dtypes:
            if tensor.dtype is not dtype and tensor.device.type != "meta":
                tensor.data = tensor.data.to(dtype)

    def _try(self, call: ComponentCall, tile_px: int | None) -> tuple[bool, Any]:
        """Make the call. Returns whether there was memory for it, and its output; nothing holds its tensors then."""
        try:
            with _work_in_tiles(call.module, tile_px):
                return True, call.make()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_frames(error)
        return False, None

    def _explain(self, part: Part, num_px: int) -> str:
        size = f" at {num_px:,} pixels" if num_px else ""
        largest = self._largest_px.get(part, 0)
        fits = f"; {largest:,} fitted before" if 0 < largest < num_px else ""
        return f"The device's memory ran out {part}{size}{fits}."


def _num_px(call: ComponentCall) -> int:
    """Pixels of the picture that is encoded or decoded; 0 where it is none."""
    tensor = next(tensors_in(list(call.args)), None)
    if call.method not in PARTS or tensor is None or tensor.ndim < 4:
        return 0
    scale: Any = 1
    if call.method != "encode":  # pixels of a latent's side
        vae: Any = call.module
        scale = getattr(vae, "spatial_compression_ratio", None)
        if not isinstance(scale, int):
            blocks = getattr(vae.config, "block_out_channels", None) or getattr(vae.config, "dim_mult", None) or [0] * 4
            scale = 2 ** (len(blocks) - 1)
    return int(tensor.shape[-2] * tensor.shape[-1] * scale**2)


def _tile_sides(vae: Any) -> list[int]:
    """Sides of the VAE's tiles, in pixels."""
    return [value for name, value in vars(vae).items() if name.startswith("tile_sample_min") and isinstance(value, int)]


@contextmanager
def _work_in_tiles(vae: Any, tile_px: int | None) -> Iterator[None]:
    """Let a VAE that can work tile by tile do so, in tiles of at most `tile_px` a side. None: as it is set."""
    sides = _tile_sides(vae)
    if tile_px is None or not sides or not hasattr(vae, "use_tiling"):
        yield
        return
    names = [name for name, value in vars(vae).items() if name.startswith("tile_") and isinstance(value, int)]
    before = {name: getattr(vae, name) for name in ("use_tiling", *names)}
    shrink = 1
    while max(sides) // shrink > tile_px:
        shrink *= 2
    try:
        vae.use_tiling = True
        for name in names:
            setattr(vae, name, before[name] // shrink)
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)
