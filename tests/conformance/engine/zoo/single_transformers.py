"""Single transformers that take embeddings and, most of them, a mask."""

from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKLQwenImage,
    ChromaPipeline,
    ChromaTransformer2DModel,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)

from tests.conformance.engine.zoo.parts import Request, common, flow_vae, noise, seeded, species

SIZE = {"height": 32, "width": 32}


def prompt_with_masks(i: int, *, tokens: int, width: int, name: str = "prompt_attention_mask") -> Request:
    draw = noise(i)
    ones = torch.ones(1, tokens, dtype=torch.long)
    return {
        "prompt_embeds": draw(1, tokens, width),
        name: ones,
        "negative_prompt_embeds": draw(1, tokens, width),
        f"negative_{name}": ones,
    }


def pixart(cls: Any) -> Any:
    transformer = PixArtTransformer2DModel(
        sample_size=16,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=32,
        cross_attention_dim=16,
        out_channels=8,
        use_additional_conditions=False,
    )
    sampler = DPMSolverMultistepScheduler()
    return cls(tokenizer=None, text_encoder=None, vae=flow_vae(4), transformer=transformer, scheduler=sampler)


def pixart_request(i: int, num_steps: int) -> Request:
    prompt = prompt_with_masks(i, tokens=8, width=32)
    settings = {"guidance_scale": 4 + 0.3 * i, "use_resolution_binning": False, "negative_prompt": None}
    return common(i, num_steps) | prompt | SIZE | settings


def aura() -> Any:
    transformer = AuraFlowTransformer2DModel(
        sample_size=16,
        patch_size=2,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pos_embed_max_size=256,
    )
    sampler = FlowMatchEulerDiscreteScheduler()
    return AuraFlowPipeline(
        tokenizer=None, text_encoder=None, vae=flow_vae(4), transformer=transformer, scheduler=sampler
    )


def aura_request(i: int, num_steps: int) -> Request:
    return common(i, num_steps) | prompt_with_masks(i, tokens=8, width=32) | SIZE | {"guidance_scale": 3 + 0.3 * i}


def lumina() -> Any:
    transformer = Lumina2Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=2,
        axes_dim_rope=[4, 2, 2],
        axes_lens=[64, 64, 64],
        cap_feat_dim=16,
    )
    sampler = FlowMatchEulerDiscreteScheduler()
    return Lumina2Pipeline(
        tokenizer=None, text_encoder=None, vae=flow_vae(4), transformer=transformer, scheduler=sampler
    )


def lumina_request(i: int, num_steps: int) -> Request:
    prompt = prompt_with_masks(i, tokens=8, width=16)
    return common(i, num_steps) | prompt | SIZE | {"guidance_scale": 3 + 0.3 * i, "cfg_trunc_ratio": 0.6}


def cogview() -> Any:
    transformer = CogView4Transformer2DModel(
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=32,
        time_embed_dim=8,
        condition_dim=4,
        rope_axes_dim=(8, 8),
    )
    sampler = FlowMatchEulerDiscreteScheduler(base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True)
    return CogView4Pipeline(
        tokenizer=None, text_encoder=None, vae=flow_vae(4), transformer=transformer, scheduler=sampler
    )


def cogview_request(i: int, num_steps: int) -> Request:
    draw = noise(i)
    embeddings = {"prompt_embeds": draw(1, 16, 32), "negative_prompt_embeds": draw(1, 16, 32)}
    return common(i, num_steps) | embeddings | SIZE | {"guidance_scale": 3 + 0.3 * i}


def chroma() -> Any:
    transformer = ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=8,
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    return ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
        vae=flow_vae(4),
    )


def chroma_request(i: int, num_steps: int) -> Request:
    prompt = prompt_with_masks(i, tokens=8, width=32)
    prompt = {key: value.bool() if "mask" in key else value for key, value in prompt.items()}
    return common(i, num_steps) | prompt | SIZE | {"guidance_scale": 3 + 0.3 * i}


def qwen() -> Any:
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    return QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
        vae=vae,
    )


def qwen_request(i: int, num_steps: int) -> Request:
    prompt = prompt_with_masks(i, tokens=8, width=16, name="prompt_embeds_mask")
    return common(i, num_steps) | prompt | SIZE | {"true_cfg_scale": 2 + 0.3 * i}


def z_image() -> Any:
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=flow_vae(4),
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
    )


def z_image_request(i: int, num_steps: int) -> Request:
    draw = noise(i)
    embeddings = {"prompt_embeds": [draw(8, 16)], "negative_prompt_embeds": [draw(8, 16)]}
    return common(i, num_steps) | embeddings | SIZE | {"guidance_scale": 3 + 0.3 * i}


SINGLE = [
    species(seeded(lambda: pixart(PixArtAlphaPipeline)), pixart_request, PixArtAlphaPipeline),
    species(seeded(lambda: pixart(PixArtSigmaPipeline)), pixart_request, PixArtSigmaPipeline),
    species(seeded(aura), aura_request, AuraFlowPipeline),
    species(seeded(lumina), lumina_request, Lumina2Pipeline),
    species(seeded(cogview), cogview_request, CogView4Pipeline),
    species(seeded(chroma), chroma_request, ChromaPipeline),
    species(seeded(qwen), qwen_request, QwenImagePipeline),
    species(seeded(z_image), z_image_request, ZImagePipeline),
]
