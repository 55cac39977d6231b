"""Pipelines without a prompt's embedding: unconditional, by class, by image embedding."""

from typing import Any

from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    KandinskyV22Pipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)

from tests.conformance.engine.zoo.parts import Request, classic_vae, common, noise, seeded, species


def unconditional_unet() -> UNet2DModel:
    return UNet2DModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
    )


def dit() -> Any:
    transformer = DiTTransformer2DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        attention_bias=True,
        num_embeds_ada_norm=1000,
    )
    vae: AutoencoderKL = classic_vae()
    return DiTPipeline(transformer=transformer, vae=vae, scheduler=DDIMScheduler())


def dit_request(i: int, num_steps: int) -> Request:
    return common(i, num_steps) | {"class_labels": [i], "guidance_scale": 2 + 0.3 * i}


def kandinsky() -> Any:
    unet = UNet2DConditionModel(
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(32, 64),
        layers_per_block=1,
        encoder_hid_dim=16,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=16,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
    )
    movq = VQModel(
        block_out_channels=(16, 32),
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_type="group",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    sampler = DDPMScheduler(prediction_type="epsilon", thresholding=False)
    return KandinskyV22Pipeline(unet=unet, scheduler=sampler, movq=movq)


def kandinsky_request(i: int, num_steps: int) -> Request:
    draw = noise(i)
    embeddings = {"image_embeds": draw(1, 16), "negative_image_embeds": draw(1, 16)}
    return common(i, num_steps) | embeddings | {"height": 64, "width": 64, "guidance_scale": 3 + 0.3 * i}


UNPROMPTED = [
    species(
        seeded(lambda: DDIMPipeline(unet=unconditional_unet(), scheduler=DDIMScheduler())),
        lambda i, n: common(i, n, eta=0.3),
        DDIMPipeline,
    ),
    species(
        seeded(lambda: DDPMPipeline(unet=unconditional_unet(), scheduler=DDPMScheduler())),
        common,
        DDPMPipeline,
    ),
    species(seeded(dit), dit_request, DiTPipeline),
    species(seeded(kandinsky), kandinsky_request, KandinskyV22Pipeline),
]
