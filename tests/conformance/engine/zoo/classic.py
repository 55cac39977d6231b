"""The Stable Diffusion 1 family: one UNet with cross-attention, classic samplers."""

from typing import Any

from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)

from tests.conformance.engine.zoo.parts import Request, classic_vae, common, mask, noise, picture, seeded, species

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def unet(**changes: Any) -> UNet2DConditionModel:
    shape: dict[str, Any] = {
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "sample_size": 16,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 4,
        "cross_attention_dim": 32,
    }
    return UNet2DConditionModel(**(shape | changes))


def controlnet() -> ControlNetModel:
    made = ControlNetModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=32,
        conditioning_embedding_out_channels=(8, 16),
    )
    for convolution in (*made.controlnet_down_blocks, made.controlnet_mid_block):
        convolution.weight.data.normal_(std=0.1)  # they begin at zero, which would hide every mistake
    return made


def parts(sampler: Any, **more: Any) -> dict[str, Any]:
    return {
        "vae": classic_vae(),
        "unet": unet(),
        "scheduler": sampler,
        "text_encoder": None,
        "tokenizer": None,
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    } | more


def prompt(i: int) -> Request:
    draw = noise(i)
    return {"prompt_embeds": draw(1, 12, 32), "negative_prompt_embeds": draw(1, 12, 32), "guidance_scale": 4 + 0.3 * i}


def text_to_image(i: int, num_steps: int) -> Request:
    return common(i, num_steps) | prompt(i) | {"height": 32, "width": 32}


def image_to_image(i: int, num_steps: int) -> Request:
    return common(i, num_steps) | prompt(i) | {"image": picture(i), "strength": 0.8}


def inpaint(i: int, num_steps: int) -> Request:
    return image_to_image(i, num_steps) | {"mask_image": mask(), "height": 32, "width": 32, "strength": 1.0}


def edit(i: int, num_steps: int) -> Request:
    return common(i, num_steps) | prompt(i) | {"image": picture(i), "image_guidance_scale": 1.5 + 0.1 * i}


def controlled(i: int, num_steps: int) -> Request:
    return text_to_image(i, num_steps) | {"image": noise(i + 50)(1, 3, 32, 32)}


def controlled_image_to_image(i: int, num_steps: int) -> Request:
    return image_to_image(i, num_steps) | {"control_image": noise(i + 50)(1, 3, 32, 32)}


def controlled_inpaint(i: int, num_steps: int) -> Request:
    return inpaint(i, num_steps) | {"control_image": noise(i + 50)(1, 3, 32, 32)}


def perturbed(i: int, num_steps: int) -> Request:
    return text_to_image(i, num_steps) | {"pag_scale": 2.0 + 0.2 * i}


def consistent(i: int, num_steps: int) -> Request:
    request = text_to_image(i, num_steps) | {"original_inference_steps": 20}
    del request["negative_prompt_embeds"]
    return request


CLASSIC = [
    species(
        seeded(lambda: StableDiffusionPipeline(**parts(DDIMScheduler(**BETAS, clip_sample=False)))),
        text_to_image,
        StableDiffusionPipeline,
    ),
    species(
        seeded(lambda: StableDiffusionImg2ImgPipeline(**parts(PNDMScheduler(**BETAS, skip_prk_steps=True)))),
        image_to_image,
        StableDiffusionImg2ImgPipeline,
    ),
    species(
        seeded(lambda: StableDiffusionInpaintPipeline(**parts(DPMSolverMultistepScheduler(**BETAS)))),
        inpaint,
        StableDiffusionInpaintPipeline,
    ),
    species(
        seeded(
            lambda: StableDiffusionInstructPix2PixPipeline(
                **parts(EulerDiscreteScheduler(**BETAS), unet=unet(in_channels=8, out_channels=4))
            )
        ),
        edit,
        StableDiffusionInstructPix2PixPipeline,
    ),
    species(
        seeded(
            lambda: StableDiffusionControlNetPipeline(
                **parts(DDIMScheduler(**BETAS, clip_sample=False), controlnet=controlnet())
            )
        ),
        controlled,
        StableDiffusionControlNetPipeline,
    ),
    species(
        seeded(
            lambda: StableDiffusionControlNetImg2ImgPipeline(
                **parts(DDIMScheduler(**BETAS, clip_sample=False), controlnet=controlnet())
            )
        ),
        controlled_image_to_image,
        StableDiffusionControlNetImg2ImgPipeline,
    ),
    species(
        seeded(
            lambda: StableDiffusionControlNetInpaintPipeline(
                **parts(UniPCMultistepScheduler(**BETAS), controlnet=controlnet())
            )
        ),
        controlled_inpaint,
        StableDiffusionControlNetInpaintPipeline,
    ),
    species(
        seeded(
            lambda: StableDiffusionPAGPipeline(
                **parts(DDIMScheduler(**BETAS, clip_sample=False), pag_applied_layers=["down"])
            )
        ),
        perturbed,
        StableDiffusionPAGPipeline,
    ),
    species(
        seeded(
            lambda: LatentConsistencyModelPipeline(
                **parts(LCMScheduler(**BETAS, clip_sample=False), unet=unet(time_cond_proj_dim=16))
            )
        ),
        consistent,
        LatentConsistencyModelPipeline,
    ),
]
