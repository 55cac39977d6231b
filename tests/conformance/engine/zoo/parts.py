"""What the families have in common: pictures, noise, autoencoders and the form of an entry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AutoencoderKL

Request = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """One pipeline class at tiny size. `request(i, num_steps)` gives its call's arguments."""

    name: str
    build: Callable[[], Any]
    request: Callable[[int, int], Request]


def species(build: Callable[[], Any], request: Callable[[int, int], Request], cls: type) -> Species:
    return Species(name=cls.__name__, build=build, request=request)


def seeded(build: Callable[[], Any]) -> Callable[[], Any]:
    """The builder with the same random weights every time, in inference mode, without progress bars."""

    def make() -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            pipeline = build()
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.eval()
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return make


def noise(i: int) -> Callable[..., torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 + i)
    return lambda *shape: torch.randn(*shape, generator=generator)


def common(i: int, num_steps: int, **more: Any) -> Request:
    generator = torch.Generator().manual_seed(i)
    return {"num_inference_steps": num_steps, "generator": generator, "output_type": "np"} | more


def picture(i: int, side: int = 32) -> PIL.Image.Image:
    values = np.random.default_rng(i).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return PIL.Image.fromarray(values)


def mask(side: int = 32) -> PIL.Image.Image:
    values = np.zeros((side, side), dtype=np.uint8)
    values[: side // 2] = 255
    return PIL.Image.fromarray(values)


def classic_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 16),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=32,
    )


def flow_vae(latent_channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=32,
        block_out_channels=(8, 8),
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=latent_channels,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.05,
        scaling_factor=1.5,
    )
