"""The Stable Diffusion XL family: pooled embeddings and sizes beside the prompt."""

from typing import Any

from diffusers import (
    ControlNetModel,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPAGPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from tests.conformance.engine.zoo.classic import BETAS
from tests.conformance.engine.zoo.parts import Request, classic_vae, common, mask, noise, picture, seeded, species

SHAPE: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "transformer_layers_per_block": (1, 1),
    "projection_class_embeddings_input_dim": 80,
    "cross_attention_dim": 64,
}


def unet(**changes: Any) -> UNet2DConditionModel:
    up = ("CrossAttnUpBlock2D", "UpBlock2D")
    return UNet2DConditionModel(**{"sample_size": 16, "up_block_types": up, **SHAPE, **changes})


def controlnet() -> ControlNetModel:
    made = ControlNetModel(conditioning_embedding_out_channels=(8, 16), **SHAPE)
    for convolution in (*made.controlnet_down_blocks, made.controlnet_mid_block):
        convolution.weight.data.normal_(std=0.1)
    return made


def parts(sampler: Any, **more: Any) -> dict[str, Any]:
    return {
        "vae": classic_vae(),
        "unet": unet(),
        "scheduler": sampler,
        "text_encoder": None,
        "text_encoder_2": None,
        "tokenizer": None,
        "tokenizer_2": None,
    } | more


def prompt(i: int) -> Request:
    draw = noise(i)
    return {
        "prompt_embeds": draw(1, 20, 64),
        "pooled_prompt_embeds": draw(1, 32),
        "negative_prompt_embeds": draw(1, 20, 64),
        "negative_pooled_prompt_embeds": draw(1, 32),
        "guidance_scale": 4 + 0.3 * i,
    }


def sdxl_request(i: int, num_steps: int) -> Request:
    return common(i, num_steps) | prompt(i) | {"height": 32, "width": 32}


def image_to_image(i: int, num_steps: int) -> Request:
    return common(i, num_steps) | prompt(i) | {"image": picture(i), "strength": 0.8}


def inpaint(i: int, num_steps: int) -> Request:
    return image_to_image(i, num_steps) | {"mask_image": mask(), "height": 32, "width": 32}


def controlled(i: int, num_steps: int) -> Request:
    return sdxl_request(i, num_steps) | {"image": noise(i + 50)(1, 3, 32, 32)}


def perturbed(i: int, num_steps: int) -> Request:
    return sdxl_request(i, num_steps) | {"pag_scale": 2.0 + 0.2 * i}


sdxl = seeded(lambda: StableDiffusionXLPipeline(**parts(EulerAncestralDiscreteScheduler(**BETAS))))
image_parts = {"requires_aesthetics_score": False}

XL = [
    species(sdxl, sdxl_request, StableDiffusionXLPipeline),
    species(
        seeded(lambda: StableDiffusionXLImg2ImgPipeline(**parts(EulerDiscreteScheduler(**BETAS)), **image_parts)),
        image_to_image,
        StableDiffusionXLImg2ImgPipeline,
    ),
    species(
        seeded(lambda: StableDiffusionXLInpaintPipeline(**parts(EulerDiscreteScheduler(**BETAS)), **image_parts)),
        inpaint,
        StableDiffusionXLInpaintPipeline,
    ),
    species(
        seeded(
            lambda: StableDiffusionXLControlNetPipeline(
                **parts(HeunDiscreteScheduler(**BETAS), controlnet=controlnet())
            )
        ),
        controlled,
        StableDiffusionXLControlNetPipeline,
    ),
    species(
        seeded(
            lambda: StableDiffusionXLPAGPipeline(**parts(EulerDiscreteScheduler(**BETAS), pag_applied_layers=["mid"]))
        ),
        perturbed,
        StableDiffusionXLPAGPipeline,
    ),
]
