"""Pictures of a run that is not finished: decoded outright where that is cheap, else by a fitted linear map.

A VAE's latents are nearly linear in colour (the observation behind every latent preview), so one 3 x (C + 1) matrix
per model shows what a picture will be. It is fitted once, to the VAE's own answers for seeded smooth random latents.
"""

import time
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

NUM_SAMPLES = 24
SAMPLE_SIDE = 8  # latents; small, so that a fit takes a second even for a full-size VAE on a CPU
DECODE_BUDGET_S = 0.015  # a preview may cost this much on the device's thread
MAX_SIDE_PX = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreviewMap:
    """Latents to pictures for one VAE.

    matrix: [C + 1, 3] float32 on the CPU, the last row the offset; None where the VAE cannot be shown. scale: picture
    pixels a latent. decode_s: seconds of an outright decode, a latent pixel.
    """

    vae: Any
    matrix: torch.Tensor | None
    scale: int
    decode_s: float

    @classmethod
    def fit(cls, vae: Any) -> Self:
        """Fit the map to a VAE whose `decode` takes [n, C, h, w]; others give a map that shows nothing.

        Draws from no global random stream. Takes about a second for a full-size VAE on a CPU.
        """
        channels = getattr(vae.config, "latent_channels", None)
        if not isinstance(channels, int):
            return cls(vae=vae, matrix=None, scale=1, decode_s=0.0)
        latents = _smooth_noise(channels)
        try:
            _decode(vae, latents[:1])
            pictures, spent_s = _decode_all(vae, latents)
        except (RuntimeError, ValueError, TypeError, IndexError):  # a VAE for video or sound
            return cls(vae=vae, matrix=None, scale=1, decode_s=0.0)
        small = functional.adaptive_avg_pool2d(pictures, SAMPLE_SIDE)
        known = latents.permute(0, 2, 3, 1).reshape(-1, channels)
        known = torch.cat([known, torch.ones(len(known), 1)], dim=1)
        matrix = torch.linalg.lstsq(known.double(), small.permute(0, 2, 3, 1).reshape(-1, 3).double()).solution
        return cls(
            vae=vae,
            matrix=matrix.float(),
            scale=pictures.shape[-1] // SAMPLE_SIDE,
            decode_s=spent_s / SAMPLE_SIDE**2,
        )

    def image(self, latents: torch.Tensor) -> NDArray[np.uint8] | None:
        """The first picture of `latents` [n, C, h, w] as [H, W, 3]; None for latents of another form.

        H, W: those of the finished picture, or less where that is above 512.
        """
        if self.matrix is None or latents.ndim != 4 or latents.shape[1] != len(self.matrix) - 1:
            return None
        one = latents[:1].detach()
        if self.decode_s * one.shape[2] * one.shape[3] <= DECODE_BUDGET_S:
            return _to_uint8(_decode(self.vae, one)[0])
        return _to_uint8(self._map(one.float().cpu()))

    def _map(self, latents: torch.Tensor) -> torch.Tensor:
        """[1, C, h, w] -> [3, H, W] by the matrix, enlarged smoothly."""
        assert self.matrix is not None
        colours = torch.einsum("chw,cd->dhw", latents[0], self.matrix[:-1]) + self.matrix[-1][:, None, None]
        longest = max(colours.shape[1:])
        scale = max(1, min(self.scale, MAX_SIDE_PX // longest))
        size = (colours.shape[1] * scale, colours.shape[2] * scale)
        return functional.interpolate(colours[None], size=size, mode="bilinear", align_corners=False)[0]


def _smooth_noise(channels: int) -> torch.Tensor:
    """[NUM_SAMPLES, C, 8, 8] of unit variance, half of it in patches as large as the things in pictures."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(NUM_SAMPLES, channels, 2, 2, generator=generator)
    fine = torch.randn(NUM_SAMPLES, channels, SAMPLE_SIDE, SAMPLE_SIDE, generator=generator)
    patches = functional.interpolate(coarse, size=(SAMPLE_SIDE, SAMPLE_SIDE), mode="nearest")
    return (patches + fine) / 2**0.5


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
    with torch.no_grad():
        pictures: torch.Tensor = vae.decode(shifted, return_dict=False)[0]
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError("not a decoder of pictures")
    return pictures.float().cpu()


def _to_uint8(picture: torch.Tensor) -> NDArray[np.uint8]:
    """[3, H, W] in -1..1 -> [H, W, 3] uint8; what is not finite becomes black."""
    levels = torch.nan_to_num((picture / 2 + 0.5).clamp(0, 1) * 255).round()
    array: NDArray[np.uint8] = levels.permute(1, 2, 0).to(torch.uint8).contiguous().numpy()
    return array
