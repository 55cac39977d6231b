"""Previews of an unfinished picture: its latents are decoded where that is cheap, else shown by a fitted linear map.

A VAE's latents are nearly linear in colour (the observation behind every latent preview), so one 3 x (C + 1) matrix
per model shows what a picture will be. It is fitted once, to the VAE's own answers for seeded smooth random latents.
"""

import hashlib
import json
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mezzotint.engine.device.clock import is_asynchronous
from mezzotint.engine.device.faults import free_frames, is_out_of_memory
from mezzotint.engine.models.load import release
from mezzotint.engine.numerics import hash_tensor

NUM_SAMPLES = 24
SAMPLE_SIDE = 8  # latents; small, so that a fit takes a second even for a full-size VAE on a CPU
TIMED_SIDE = 64  # latents
DECODE_BUDGET_S = 0.015  # a preview may cost this much on the device's thread
TINY_BUDGET_S = 0.05  # and more where a tiny autoencoder was named for it
MIN_SIDE = 12  # latents; what is smaller is shown better by the map
MAX_SIDE_PX = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreviewMap:
    """Latents to pictures for one VAE.

    decoder: the VAE itself, or a tiny autoencoder of its latents. is_tiny: which. matrix: [C + 1, 3] float32 on the
    CPU, the last row the offset; None where the VAE cannot be shown. scale: picture pixels a latent. decode_s: seconds
    of an outright decode by `decoder`, a latent pixel.
    """

    decoder: Any
    matrix: torch.Tensor | None
    scale: int
    decode_s: float
    is_tiny: bool = False

    @classmethod
    def fit(cls, vae: Any, tiny: Any = None, kept: MutableMapping[str, str] | None = None) -> Self:
        """Fit the map to a VAE of pictures, or to one of films, which shows one frame; others show nothing.

        tiny: an `AutoencoderTiny` of the same latents, to decode previews with. kept: fits of earlier times, by what
        decides them. Draws from no global random stream. Takes about a second for a full-size VAE on a CPU.
        """
        decoder, is_tiny = (vae, False) if tiny is None else (tiny, True)
        channels = getattr(vae.config, "latent_channels", getattr(vae.config, "z_dim", None))
        if not isinstance(channels, int):
            return cls(decoder=decoder, matrix=None, scale=1, decode_s=0.0)
        key = "" if kept is None else key_of(vae, decoder)
        found = None if kept is None else _read(kept.get(key), channels)
        if found is None:
            try:
                found = _fit_matrix(vae, decoder, channels)
            except (RuntimeError, ValueError, TypeError, IndexError):  # a VAE for video or sound
                return cls(decoder=decoder, matrix=None, scale=1, decode_s=0.0)
            if kept is not None:
                kept[key] = json.dumps({"matrix": found[0].tolist(), "scale": found[1], "decode_s": found[2]})
        matrix, scale, decode_s = found
        return cls(decoder=decoder, matrix=matrix, scale=scale, decode_s=decode_s, is_tiny=is_tiny)

    def image(self, latents: torch.Tensor, size_px: tuple[int, int] | None = None) -> NDArray[np.uint8] | None:
        """The first picture of `latents` as [H, W, 3]; None for latents of another form.

        latents: [n, C, h, w], [n, C, 1, h, w], or packed by FLUX and its kin, [n, h/2 * w/2, 4 * C], where `size_px`,
        the width and height of the picture that is being made, says how they lie.
        H, W: those of the finished picture, or less where that is above 512 or would take too long.
        """
        if self.matrix is None:
            return None
        unpacked = _unpack(latents[:1].detach(), len(self.matrix) - 1, self.scale, size_px)
        if unpacked is None:
            return None
        one = unpacked
        if self.is_tiny:
            one = _shrink(one, TINY_BUDGET_S / max(self.decode_s, 1e-9), MAX_SIDE_PX // self.scale)
        budget_s = TINY_BUDGET_S if self.is_tiny else DECODE_BUDGET_S
        decoded = None
        if self.decode_s * one.shape[2] * one.shape[3] <= budget_s:
            decoded = self._try_decode(one)
        if decoded is not None:
            return _to_uint8(decoded)
        return _to_uint8(self._map(unpacked.float().cpu()))

    def _map(self, latents: torch.Tensor) -> torch.Tensor:
        """[1, C, h, w] -> [3, H, W] by the matrix, enlarged smoothly."""
        assert self.matrix is not None
        colours = torch.einsum("chw,cd->dhw", latents[0], self.matrix[:-1]) + self.matrix[-1][:, None, None]
        scale = max(1, min(self.scale, MAX_SIDE_PX // max(colours.shape[1:])))
        size = (colours.shape[1] * scale, colours.shape[2] * scale)
        return functional.interpolate(colours[None], size=size, mode="bilinear", align_corners=False)[0]

    def _try_decode(self, latents: torch.Tensor) -> torch.Tensor | None:
        """[1, C, h, w] -> [3, H, W]; None where memory ran out. It is freed then; nothing waits for a preview."""
        try:
            return _decode(self.decoder, latents)[0]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_frames(error)
        release()
        return None


Fit = tuple[torch.Tensor, int, float]


def key_of(vae: Any, decoder: Any) -> str:
    """A digest of all that decides a fit: the weights, and, for the time of a decode, device, dtype and threads."""
    digest = hashlib.sha256(f"{torch.get_num_threads()} {torch.__version__}".encode())
    for module in {id(module): module for module in (vae, decoder)}.values():
        for name, tensor in module.state_dict().items():
            hash_tensor(digest, f"{name} {tensor.device}", tensor)
    return digest.hexdigest()[:32]


def _read(text: str | None, channels: int) -> Fit | None:
    """A fit of earlier times, if it is one of such latents."""
    try:
        document = json.loads(text or "")
        matrix = torch.tensor(document["matrix"], dtype=torch.float32)
        scale, decode_s = int(document["scale"]), float(document["decode_s"])
    except (ValueError, TypeError, KeyError):
        return None
    is_sound = matrix.shape == (channels + 1, 3) and bool(matrix.isfinite().all()) and scale >= 1 and decode_s >= 0
    return (matrix, scale, decode_s) if is_sound else None


def _fit_matrix(vae: Any, decoder: Any, channels: int) -> Fit:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(NUM_SAMPLES, channels, 2, 2, generator=generator)
    fine = torch.randn(NUM_SAMPLES, channels, SAMPLE_SIDE, SAMPLE_SIDE, generator=generator)
    patches = functional.interpolate(coarse, size=(SAMPLE_SIDE, SAMPLE_SIDE), mode="nearest")
    latents = (patches + fine) / 2**0.5  # of unit variance, half of it in patches as large as the things in pictures
    _decode(vae, latents[:1])
    pictures, spent_s = _decode_all(vae, latents)
    if decoder is not vae:
        _, spent_s = _decode_all(decoder, latents[:4])
    small = functional.adaptive_avg_pool2d(pictures, SAMPLE_SIDE)
    known = latents.permute(0, 2, 3, 1).reshape(-1, channels)
    known = torch.cat([known, torch.ones(len(known), 1)], dim=1)
    matrix = torch.linalg.lstsq(known.double(), small.permute(0, 2, 3, 1).reshape(-1, 3).double()).solution
    decode_s = spent_s / SAMPLE_SIDE**2
    if is_asynchronous(next(decoder.parameters())):
        decode_s = min(decode_s, _time_large(decoder, channels))
    return matrix.float(), pictures.shape[-1] // SAMPLE_SIDE, decode_s


def _time_large(decoder: Any, channels: int) -> float:
    """Seconds a latent pixel where there are many: a small picture takes a GPU as long as its launches take."""
    try:
        _, spent_s = _decode_all(decoder, torch.zeros(2, channels, TIMED_SIDE, TIMED_SIDE))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        free_frames(error)
        return float("inf")
    return spent_s / TIMED_SIDE**2


def _unpack(latents: torch.Tensor, channels: int, scale: int, size_px: tuple[int, int] | None) -> torch.Tensor | None:
    """[1, C, h, w] from any of the forms of `PreviewMap.image`; None from others."""
    if latents.ndim == 5 and latents.shape[2] == 1:
        latents = latents[:, :, 0]
    if latents.ndim == 4:
        return latents if latents.shape[1] == channels else None
    if size_px is None or latents.ndim != 3 or latents.shape[2] != 4 * channels:
        return None
    columns, rows = (side // (2 * scale) for side in size_px)
    if latents.shape[1] != rows * columns:
        return None
    squares = latents.view(1, rows, columns, channels, 2, 2)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(1, channels, 2 * rows, 2 * columns)


def _shrink(latents: torch.Tensor, most: float, longest: int) -> torch.Tensor:
    """[1, C, h, w] with at most so many latents, and so many a side: by areas, since latents are nearly colours."""
    height, width = latents.shape[2:]
    ratio = min((most / (height * width)) ** 0.5, longest / max(height, width))
    if ratio >= 1 or min(height, width) * ratio < MIN_SIDE:
        return latents
    return functional.interpolate(latents, size=(int(height * ratio), int(width * ratio)), mode="area")


def _decode_all(vae: Any, latents: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Pictures of all latents, and the least time that one took: others on the machine only ever add to it."""
    pictures, least_s = [], float("inf")
    for one in torch.split(latents, 1):
        begun = time.perf_counter()
        pictures.append(_decode(vae, one))
        least_s = min(least_s, time.perf_counter() - begun)
    return torch.cat(pictures), least_s


def _decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """[n, C, h, w] as samplers hold them -> [n, 3, H, W] float32 in -1..1, on the CPU."""
    weight = next(vae.parameters())
    offloading = getattr(vae, "_hf_hook", None)  # then the weights come to that device for the call
    device = getattr(offloading, "execution_device", None) or weight.device
    scaled = latents.to(device, weight.dtype) / getattr(vae.config, "scaling_factor", 1.0)
    shifted = scaled + (getattr(vae.config, "shift_factor", None) or 0.0)
    std, mean = (getattr(vae.config, f"latents_{name}", None) for name in ("std", "mean"))
    if std and mean:
        shifted = shifted * shifted.new_tensor(std).view(1, -1, 1, 1) + shifted.new_tensor(mean).view(1, -1, 1, 1)
    of_films = hasattr(vae.config, "z_dim")
    with torch.no_grad():
        pictures: torch.Tensor = vae.decode(shifted[:, :, None] if of_films else shifted, return_dict=False)[0]
    pictures = pictures[:, :, 0] if of_films else pictures
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError("not a decoder of pictures")
    return pictures.float().cpu()


def _to_uint8(picture: torch.Tensor) -> NDArray[np.uint8]:
    """[3, H, W] in -1..1 -> [H, W, 3] uint8; what is not finite becomes black."""
    levels = torch.nan_to_num((picture / 2 + 0.5).clamp(0, 1) * 255).round()
    array: NDArray[np.uint8] = levels.permute(1, 2, 0).to(torch.uint8).contiguous().numpy()
    return array
