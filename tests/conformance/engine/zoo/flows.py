"""FLUX and SD3: transformers that follow a flow, with their variants."""

from typing import Any

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3ControlNetModel,
    SD3Transformer2DModel,
    StableDiffusion3ControlNetPipeline,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3InpaintPipeline,
    StableDiffusion3Pipeline,
)

from tests.conformance.engine.zoo.parts import Request, common, flow_vae, mask, noise, picture, seeded, species

SIZE = {"height": 32, "width": 32}

# FLUX


def flux_transformer(**changes: Any) -> FluxTransformer2DModel:
    shape: dict[str, Any] = {
        "patch_size": 1,
        "in_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "axes_dims_rope": [4, 4, 8],
        "guidance_embeds": True,
    }
    return FluxTransformer2DModel(**(shape | changes))


def flux_controlnet() -> FluxControlNetModel:
    made = FluxControlNetModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=True,
    )
    for layer in (*made.controlnet_blocks, *made.controlnet_single_blocks, made.controlnet_x_embedder):
        layer.weight.data.normal_(std=0.1)
    return made


def flux_parts(**more: Any) -> dict[str, Any]:
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "text_encoder": None,
        "text_encoder_2": None,
        "tokenizer": None,
        "tokenizer_2": None,
        "transformer": flux_transformer(),
        "vae": flow_vae(4),
    } | more


def flux_prompt(i: int) -> Request:
    draw = noise(i)
    return {"prompt_embeds": draw(1, 12, 32), "pooled_prompt_embeds": draw(1, 32), "guidance_scale": 2 + 0.3 * i}


def flux_request(i: int, num_steps: int) -> Request:
    return common(i, num_steps) | flux_prompt(i) | SIZE


def flux_image(i: int, num_steps: int) -> Request:
    return flux_request(i, num_steps) | {"image": picture(i), "strength": 0.8}


def flux_inpaint(i: int, num_steps: int) -> Request:
    return flux_image(i, num_steps) | {"mask_image": mask()}


def flux_controlled(i: int, num_steps: int) -> Request:
    return flux_request(i, num_steps) | {"control_image": picture(i)}


def flux_edit(i: int, num_steps: int) -> Request:
    return flux_request(i, num_steps) | {"image": picture(i), "_auto_resize": False, "max_area": 32 * 32}


flux = seeded(lambda: FluxPipeline(**flux_parts()))

# SD3


def sd3_shape(**changes: Any) -> dict[str, Any]:
    return {
        "sample_size": 32,
        "patch_size": 1,
        "in_channels": 4,
        "num_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 4,
        "caption_projection_dim": 32,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 64,
        "out_channels": 4,
    } | changes


def sd3_controlnet() -> SD3ControlNetModel:
    made = SD3ControlNetModel(**sd3_shape())
    for layer in made.controlnet_blocks:
        layer.weight.data.normal_(std=0.1)
    return made


def sd3_parts(**more: Any) -> dict[str, Any]:
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "text_encoder": None,
        "text_encoder_2": None,
        "text_encoder_3": None,
        "tokenizer": None,
        "tokenizer_2": None,
        "tokenizer_3": None,
        "transformer": SD3Transformer2DModel(**sd3_shape()),
        "vae": flow_vae(4),
    } | more


def sd3_request(i: int, num_steps: int) -> Request:
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


def sd3_image(i: int, num_steps: int) -> Request:
    request = sd3_request(i, num_steps) | {"image": picture(i, 16), "strength": 0.8}
    return {key: value for key, value in request.items() if key not in {"height", "width"}}


def sd3_inpaint(i: int, num_steps: int) -> Request:
    return sd3_request(i, num_steps) | {"image": picture(i, 16), "mask_image": mask(16), "strength": 0.8}


def sd3_controlled(i: int, num_steps: int) -> Request:
    return sd3_request(i, num_steps) | {"control_image": picture(i, 16)}


FLOWS = [
    species(flux, flux_request, FluxPipeline),
    species(seeded(lambda: FluxImg2ImgPipeline(**flux_parts())), flux_image, FluxImg2ImgPipeline),
    species(seeded(lambda: FluxInpaintPipeline(**flux_parts())), flux_inpaint, FluxInpaintPipeline),
    species(seeded(lambda: FluxKontextPipeline(**flux_parts())), flux_edit, FluxKontextPipeline),
    species(
        seeded(
            lambda: FluxControlPipeline(**flux_parts(transformer=flux_transformer(in_channels=32, out_channels=16)))
        ),
        flux_controlled,
        FluxControlPipeline,
    ),
    species(
        seeded(lambda: FluxControlNetPipeline(**flux_parts(controlnet=flux_controlnet()))),
        flux_controlled,
        FluxControlNetPipeline,
    ),
    species(seeded(lambda: StableDiffusion3Pipeline(**sd3_parts())), sd3_request, StableDiffusion3Pipeline),
    species(seeded(lambda: StableDiffusion3Img2ImgPipeline(**sd3_parts())), sd3_image, StableDiffusion3Img2ImgPipeline),
    species(
        seeded(
            lambda: StableDiffusion3InpaintPipeline(
                **sd3_parts(
                    transformer=SD3Transformer2DModel(**sd3_shape(in_channels=16, out_channels=16)), vae=flow_vae(16)
                )
            )
        ),
        sd3_inpaint,
        StableDiffusion3InpaintPipeline,
    ),
    species(
        seeded(lambda: StableDiffusion3ControlNetPipeline(**sd3_parts(controlnet=sd3_controlnet()))),
        sd3_controlled,
        StableDiffusion3ControlNetPipeline,
    ),
]
