"""Random pipelines of four families, as large as the public models or tiny, made directly on a device.

Weights are drawn there from a seed, each layer's so that its outputs are about as large as its inputs: nothing is
downloaded, nothing passes through the host. Text encoders are left out, since the pipelines take embeddings.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from mezzotint.engine.models.load import release

WEIGHTS_SHARE = 0.55  # of a device's memory: the rest is for passes
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LATENT_PX = 8
THIN = (8, 8, 8, 8)  # channels of an autoencoder that costs nothing, with as many levels as the real ones
SDXL_VAE = (128, 256, 512, 512)

Request = dict[str, Any]


class Size(StrEnum):
    FULL = "full"
    TOY = "toy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """full: the denoiser's public configuration; toy: what differs from it at toy size.

    depths: the keys of `full` that count blocks, fewer of which are made where memory is too small for all. own_rows:
    rows of one run's pass. text: tokens of a prompt at full size, and the width of its embeddings at each size.
    """

    name: str
    denoiser: type
    full: Mapping[str, Any]
    toy: Mapping[str, Any]
    depths: tuple[str, ...]
    own_rows: int
    tokens: int
    assemble: Callable[[torch.nn.Module, torch.nn.Module], Any]
    prompt: Callable[["Prompt"], Request]

    def config(self, size: Size) -> dict[str, Any]:
        return dict(self.full) if size is Size.FULL else {**self.full, **self.toy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Draws the embeddings of prompt number `number`."""

    number: int
    tokens: int
    config: Mapping[str, Any]
    device: torch.device
    dtype: torch.dtype

    def draw(self, *shape: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1000 * self.number + shape[-1])
        return torch.randn(shape, generator=generator).to(self.device, self.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A pipeline on its device. share: of the public model's blocks."""

    family: Family
    pipeline: Any
    size: Size
    share: float

    @property
    def denoiser(self) -> torch.nn.Module:
        module: torch.nn.Module = getattr(self.pipeline, "unet", None) or self.pipeline.transformer
        return module

    def request(self, number: int, steps: int, side_px: int, **more: Any) -> Request:
        """The arguments of a call; it ends with latents unless `more` asks for pictures."""
        tokens = more.pop("tokens", self.family.tokens if self.size is Size.FULL else 12)
        prompt = Prompt(
            number=number,
            tokens=tokens,
            config=self.family.config(self.size),
            device=self.pipeline.device,
            dtype=next(self.denoiser.parameters()).dtype,
        )
        generator = torch.Generator().manual_seed(number)
        common = {"num_inference_steps": steps, "generator": generator, "height": side_px, "width": side_px}
        return {**common, "output_type": "latent", **self.family.prompt(prompt), **more}


def make(family: Family, device: torch.device, dtype: torch.dtype, size: Size, *, vae: str = "thin") -> Made:
    """vae: `thin`, or `real` for SDXL's own size at full size. Gives back the memory of models that were dropped."""
    release()
    config, share = _fit(family, family.config(size), device, dtype)
    denoiser = build(family.denoiser, config, device, dtype)
    channels = SDXL_VAE if vae == "real" and size is Size.FULL else THIN
    codec = _make_codec(family, channels).to(device, dtype).eval()
    pipeline = family.assemble(denoiser, codec)
    pipeline.set_progress_bar_config(disable=True)
    return Made(family=family, pipeline=pipeline, size=size, share=share)


def build(cls: type, config: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
    """The module with random weights, in inference mode."""
    with init_empty_weights(include_buffers=False):
        module: torch.nn.Module = cls(**config).eval()
    generator = torch.Generator(device).manual_seed(0)
    for layer in module.modules():
        for name, weight in layer._parameters.items():
            if weight is not None:
                value = _draw(name, weight.shape, generator, dtype)
                layer._parameters[name] = torch.nn.Parameter(value, requires_grad=False)
        for name, buffer in layer._buffers.items():
            if buffer is not None:
                layer._buffers[name] = buffer.to(device, dtype if buffer.is_floating_point() else buffer.dtype)
    return module


def count_bytes(family: Family, config: Mapping[str, Any], dtype: torch.dtype) -> int:
    """Bytes of a denoiser's weights, without making them."""
    with init_empty_weights(include_buffers=False):
        module = family.denoiser(**config)
    return sum(weight.numel() for weight in module.parameters()) * dtype.itemsize


def _draw(name: str, shape: torch.Size, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    device = generator.device
    if len(shape) < 2:  # a norm's weight, or a bias
        return (
            torch.ones(shape, device=device, dtype=dtype) if name == "weight" else _noise(shape, 0.02, generator, dtype)
        )
    return _noise(shape, math.prod(shape[1:]) ** -0.5, generator, dtype)


def _noise(shape: torch.Size, scale: float, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, device=generator.device, dtype=dtype).normal_(0, scale, generator=generator)


def _fit(
    family: Family, config: dict[str, Any], device: torch.device, dtype: torch.dtype
) -> tuple[dict[str, Any], float]:
    """The configuration with as many blocks as the device has memory for, and their share of all."""
    if device.type != "cuda" or not family.depths:
        return config, 1.0
    room = torch.cuda.mem_get_info(device)[0] * WEIGHTS_SHARE
    share = min(1.0, room / count_bytes(family, config, dtype))
    if share < 1.0:
        config = config | {key: max(1, int(config[key] * share)) for key in family.depths}
    return config, share


def _make_codec(family: Family, channels: tuple[int, ...]) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if family.denoiser is QwenImageTransformer2DModel:
            return AutoencoderKLQwenImage(base_dim=channels[0], dim_mult=[1, 1, 1, 1], num_res_blocks=1)
        is_flow = family.denoiser is not UNet2DConditionModel
        shift = {"shift_factor": 0.1159, "use_quant_conv": False, "use_post_quant_conv": False} if is_flow else {}
        return AutoencoderKL(
            block_out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2 if channels is SDXL_VAE else 1,
            latent_channels=16 if is_flow else 4,
            norm_num_groups=32 if channels is SDXL_VAE else 2,
            scaling_factor=0.3611 if is_flow else 0.13025,
            force_upcast=not is_flow,
            **shift,
        )


def _prompt_sdxl(prompt: Prompt) -> Request:
    width, tokens = prompt.config["cross_attention_dim"], prompt.tokens
    pooled = prompt.config["projection_class_embeddings_input_dim"] - 6 * prompt.config["addition_time_embed_dim"]
    return {
        "prompt_embeds": prompt.draw(1, tokens, width),
        "pooled_prompt_embeds": prompt.draw(1, pooled),
        "negative_prompt_embeds": torch.zeros(1, tokens, width, device=prompt.device, dtype=prompt.dtype),
        "negative_pooled_prompt_embeds": torch.zeros(1, pooled, device=prompt.device, dtype=prompt.dtype),
        "guidance_scale": 5.0,
    }


def _prompt_sd3(prompt: Prompt) -> Request:
    width, pooled = prompt.config["joint_attention_dim"], prompt.config["pooled_projection_dim"]
    return {
        "prompt_embeds": prompt.draw(1, prompt.tokens, width),
        "pooled_prompt_embeds": prompt.draw(1, pooled),
        "negative_prompt_embeds": torch.zeros(1, prompt.tokens, width, device=prompt.device, dtype=prompt.dtype),
        "negative_pooled_prompt_embeds": torch.zeros(1, pooled, device=prompt.device, dtype=prompt.dtype),
        "guidance_scale": 4.5,
    }


def _prompt_flux(prompt: Prompt) -> Request:
    return {
        "prompt_embeds": prompt.draw(1, prompt.tokens, prompt.config["joint_attention_dim"]),
        "pooled_prompt_embeds": prompt.draw(1, prompt.config["pooled_projection_dim"]),
        "guidance_scale": 3.5,
    }


def _prompt_qwen(prompt: Prompt) -> Request:
    shape = (1, prompt.tokens, prompt.config["joint_attention_dim"])
    mask = torch.ones(1, prompt.tokens, dtype=torch.long, device=prompt.device)
    return {
        "prompt_embeds": prompt.draw(*shape),
        "prompt_embeds_mask": mask,
        "negative_prompt_embeds": torch.zeros(shape, device=prompt.device, dtype=prompt.dtype),
        "negative_prompt_embeds_mask": mask,
        "true_cfg_scale": 4.0,
    }


def _without(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)


SDXL = Family(
    name="SDXL",
    denoiser=UNet2DConditionModel,
    full={
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    toy={
        "block_out_channels": (8, 16, 16),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "transformer_layers_per_block": 1,
        "attention_head_dim": 2,
        "cross_attention_dim": 32,
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 80,
    },
    depths=(),
    own_rows=2,
    tokens=77,
    assemble=lambda unet, vae: StableDiffusionXLPipeline(
        vae=vae,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1),
        **_without("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
    ),
    prompt=_prompt_sdxl,
)
SD3 = Family(
    name="SD3.5-large",
    denoiser=SD3Transformer2DModel,
    full={
        "sample_size": 128,
        "patch_size": 2,
        "in_channels": 16,
        "out_channels": 16,
        "num_layers": 38,
        "attention_head_dim": 64,
        "num_attention_heads": 38,
        "caption_projection_dim": 2432,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 2048,
        "pos_embed_max_size": 192,
        "qk_norm": "rms_norm",
    },
    toy={
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "caption_projection_dim": 32,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
    },
    depths=("num_layers",),
    own_rows=2,
    tokens=333,
    assemble=lambda transformer, vae: StableDiffusion3Pipeline(
        vae=vae,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        **_without("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3"),
    ),
    prompt=_prompt_sd3,
)
FLUX = Family(
    name="FLUX.1-dev",
    denoiser=FluxTransformer2DModel,
    full={
        "patch_size": 1,
        "in_channels": 64,
        "num_layers": 19,
        "num_single_layers": 38,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 768,
        "guidance_embeds": True,
        "axes_dims_rope": (16, 56, 56),
    },
    toy={
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "axes_dims_rope": (4, 4, 8),
    },
    depths=("num_layers", "num_single_layers"),
    own_rows=1,
    tokens=512,
    assemble=lambda transformer, vae: FluxPipeline(
        vae=vae,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        **_without("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
    ),
    prompt=_prompt_flux,
)
QWEN = Family(
    name="Qwen-Image",
    denoiser=QwenImageTransformer2DModel,
    full={
        "patch_size": 2,
        "in_channels": 64,
        "out_channels": 16,
        "num_layers": 60,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 3584,
        "axes_dims_rope": (16, 56, 56),
    },
    toy={
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "axes_dims_rope": (4, 4, 8),
    },
    depths=("num_layers",),
    own_rows=1,
    tokens=100,
    assemble=lambda transformer, vae: QwenImagePipeline(
        vae=vae,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        **_without("text_encoder", "tokenizer"),
    ),
    prompt=_prompt_qwen,
)
FAMILIES = (SDXL, SD3, FLUX, QWEN)
