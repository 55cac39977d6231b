"""Tiny pipelines of real diffusers classes with seeded random weights, and requests for them.

A `Species` builds a pipeline and, for a number i, the arguments of request i: another seed, prompt and guidance each.
Text encoders are left out where the pipeline takes embeddings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """One pipeline class at tiny size. `request(i, num_steps)` gives its call's arguments."""

    name: str
    build: Callable[[], Any]
    request: Callable[[int, int], dict[str, Any]]


def noise(seed: int) -> Callable[..., torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 + seed)
    return lambda *shape: torch.randn(*shape, generator=generator)


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def common(i: int, num_steps: int) -> dict[str, Any]:
    return {
        "num_inference_steps": num_steps,
        "generator": torch.Generator().manual_seed(i),
        "output_type": "np",
    }


def flow_vae(latent_channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        block_out_channels=(4,),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.0609,
        scaling_factor=1.5035,
    ).eval()


def classic_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=[32, 64],
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4,
        sample_size=32,
    ).eval()


def classic_sampler() -> EulerAncestralDiscreteScheduler:
    return EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="leading",
    )


def sdxl_unet(**changes: Any) -> UNet2DConditionModel:
    settings: dict[str, Any] = {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "sample_size": 16,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "transformer_layers_per_block": (1, 1),
        "projection_class_embeddings_input_dim": 80,
        "cross_attention_dim": 64,
    }
    return UNet2DConditionModel(**(settings | changes)).eval()


def sdxl() -> Any:
    torch.manual_seed(0)
    return quiet(
        StableDiffusionXLPipeline(
            vae=classic_vae(),
            unet=sdxl_unet(),
            scheduler=classic_sampler(),
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
        )
    )


def sdxl_request(i: int, num_steps: int) -> dict[str, Any]:
    draw = noise(i)
    return common(i, num_steps) | {
        "prompt_embeds": draw(1, 77, 64),
        "pooled_prompt_embeds": draw(1, 32),
        "negative_prompt_embeds": draw(1, 77, 64),
        "negative_pooled_prompt_embeds": draw(1, 32),
        "guidance_scale": 4 + 0.3 * i,
        "height": 32,
        "width": 32,
    }


def flux() -> Any:
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=True,
    )
    return quiet(
        FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            transformer=transformer.eval(),
            vae=flow_vae(1),
        )
    )


def flux_request(i: int, num_steps: int) -> dict[str, Any]:
    draw = noise(i)
    return common(i, num_steps) | {
        "prompt_embeds": draw(1, 16, 32),
        "pooled_prompt_embeds": draw(1, 32),
        "guidance_scale": 2 + 0.3 * i,
        "height": 16,
        "width": 16,
    }


def sd3() -> Any:
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=32,
        patch_size=1,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        out_channels=4,
    )
    return quiet(
        StableDiffusion3Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            text_encoder=None,
            text_encoder_2=None,
            text_encoder_3=None,
            tokenizer=None,
            tokenizer_2=None,
            tokenizer_3=None,
            transformer=transformer.eval(),
            vae=flow_vae(4),
        )
    )


def sd3_request(i: int, num_steps: int) -> dict[str, Any]:
    draw = noise(i)
    return common(i, num_steps) | {
        "prompt_embeds": draw(1, 20, 32),
        "pooled_prompt_embeds": draw(1, 64),
        "negative_prompt_embeds": draw(1, 20, 32),
        "negative_pooled_prompt_embeds": draw(1, 64),
        "guidance_scale": 4 + 0.3 * i,
        "height": 16,
        "width": 16,
    }


SPECIES = [
    Species(name="StableDiffusionXLPipeline", build=sdxl, request=sdxl_request),
    Species(name="FluxPipeline", build=flux, request=flux_request),
    Species(name="StableDiffusion3Pipeline", build=sd3, request=sd3_request),
]
