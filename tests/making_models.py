"""Tiny models of many families, with random weights, text encoders and tokenizers, by diffusers' own classes."""

from collections.abc import Callable
from typing import Any

from diffusers import (
    AuraFlowPipeline,
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    ChromaPipeline,
    CogVideoXDDIMScheduler,
    CogView3PlusPipeline,
    CogView3PlusTransformer2DModel,
    CogView4Pipeline,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxFillPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    HiDreamImagePipeline,
    HiDreamImageTransformer2DModel,
    HunyuanDiT2DModel,
    HunyuanDiTPipeline,
    Kandinsky3Pipeline,
    Kandinsky3UNet,
    KandinskyV22CombinedPipeline,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    Lumina2Pipeline,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PriorTransformer,
    QwenImagePipeline,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    UnCLIPScheduler,
    VQModel,
    ZImagePipeline,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPImageProcessorPil,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GlmConfig,
    GlmModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.conformance.engine.zoo import classic, flows, single_transformers, unprompted, xl
from tests.conformance.engine.zoo.parts import flow_vae
from tests.unit.engine.models import tiny_families

WORDS = ["<pad>", "<unk>", "<s>", "</s>", "[CLS]", "[SEP]", "a", "red", "apple", "green", "pear", "user", "<|im_end|>"]
CHAT = "{% for message in messages %}{{ message['role'] }} {{ message['content'] }} {% endfor %}"


def words() -> Any:
    """A tokenizer of a few words, with a template of messages for encoders that are asked by them."""
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        model_max_length=77,
    )  # fmt: skip
    made.chat_template = CHAT
    return made


def t5(width: int = 32, kind: Any = T5EncoderModel, config: Any = T5Config) -> Any:
    return kind(config(vocab_size=len(WORDS), d_model=width, d_kv=8, d_ff=37, num_layers=1, num_heads=4))


def causal(kind: Any, config: Any, width: int, **more: Any) -> Any:
    shape = {"vocab_size": len(WORDS), "hidden_size": width, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
    return kind(config(**(shape | heads | more)))


def vae_of_eight() -> Any:
    """With eight pixels a latent, which some pipelines take for granted."""
    return AutoencoderKL(
        block_out_channels=[8, 8, 8, 8], norm_num_groups=4, latent_channels=4, layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, shift_factor=0.0,
    )  # fmt: skip


def with_text(pipeline: Any, kind: Any, **parts: Any) -> Any:
    return kind(**{**pipeline.components, **parts})


def flux() -> Any:
    encoder, tokenizer = tiny_families.encoder(32), tiny_families.tokenizer()
    parts = flows.flux_parts(text_encoder=encoder, tokenizer=tokenizer, text_encoder_2=t5(), tokenizer_2=words())
    return FluxPipeline(**parts)


def sd3(stock: Any) -> Any:
    """With the sixteen channels that the stock inpaint pipeline wants, and all trained models have."""
    width = stock.transformer.config.joint_attention_dim
    shape = flows.sd3_shape(
        sample_size=16, joint_attention_dim=width, qk_norm="rms_norm", in_channels=16, out_channels=16
    )
    return with_text(stock, StableDiffusion3Pipeline, transformer=SD3Transformer2DModel(**shape), vae=flow_vae(16))


def lcm() -> Any:
    stock = tiny_families.sd()
    parts = {"unet": classic.unet(time_cond_proj_dim=32), "scheduler": LCMScheduler(**classic.BETAS)}
    return LatentConsistencyModelPipeline(**{**stock.components, **parts}, requires_safety_checker=False)


def sana_parts(**more: Any) -> dict[str, Any]:
    transformer = SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=16,
        sample_size=32, **more,
    )  # fmt: skip
    vae = AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1), downsample_block_type="conv",
        upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.4,
    )  # fmt: skip
    return {
        "tokenizer": words(), "text_encoder": causal(Gemma2Model, Gemma2Config, 16), "vae": vae,
        "transformer": transformer, "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
    }  # fmt: skip


def sana_sprint() -> Any:
    shape = {"guidance_embeds": True, "guidance_embeds_scale": 0.1, "qk_norm": "rms_norm_across_heads"}
    return SanaSprintPipeline(**sana_parts(**shape) | {"scheduler": SCMScheduler(prediction_type="trigflow")})


def hunyuan() -> Any:
    transformer = HunyuanDiT2DModel(
        sample_size=16, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=3, in_channels=4,
        cross_attention_dim=32, cross_attention_dim_t5=32, pooled_projection_dim=16, hidden_size=24,
        activation_fn="gelu-approximate",
    )  # fmt: skip
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 37}
    bert = BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=77, **shape))
    return HunyuanDiTPipeline(
        vae=vae_of_eight(), transformer=transformer, text_encoder=bert, tokenizer=words(), text_encoder_2=t5(),
        tokenizer_2=words(), scheduler=DDPMScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def qwen_encoder() -> Any:
    text = {
        "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 2048, "pad_token_id": 0,
        "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"}, "rope_theta": 1e6,
    }  # fmt: skip
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16,
        "fullatt_block_indexes": [0],
    }  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision))


def flux_fill() -> Any:
    """Its transformer reads a picture and a mask beside the latents: 4 + 4 + 4 channels in patches of four."""
    parts = dict(flux().components) | {"transformer": flows.flux_transformer(in_channels=16 + 16 + 16, out_channels=16)}
    return FluxFillPipeline(
        **{name: parts[name] for name in parts if name not in {"image_encoder", "feature_extractor"}}
    )


def flux2_klein(num_layers: int = 27) -> Any:
    """Its encoder's layers 9, 18 and 27 are read, one beside the other."""
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8), norm_num_groups=2, latent_channels=4, layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=3 * 16, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    encoder = causal(Qwen3ForCausalLM, Qwen3Config, 16, num_hidden_layers=num_layers)
    sampler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return Flux2KleinPipeline(
        vae=vae, transformer=transformer, text_encoder=encoder, tokenizer=words(), scheduler=sampler
    )


def hidream() -> Any:
    transformer = HiDreamImageTransformer2DModel(
        patch_size=2, in_channels=4, out_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=4, caption_channels=[32, 16], text_emb_dim=64, axes_dims_rope=(4, 2, 2),
        max_resolution=(32, 32), llama_layers=[0, 1],
    )  # fmt: skip
    clip = {"kind": CLIPTextModelWithProjection, "max_position_embeddings": 248}
    return HiDreamImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=flow_vae(4), transformer=transformer,
        text_encoder=tiny_families.encoder(32, **clip), tokenizer=tiny_families.tokenizer(),
        text_encoder_2=tiny_families.encoder(32, **clip), tokenizer_2=tiny_families.tokenizer(),
        text_encoder_3=t5(), tokenizer_3=words(),
        text_encoder_4=causal(LlamaForCausalLM, LlamaConfig, 16, attn_implementation="eager"), tokenizer_4=words(),
    )  # fmt: skip


def cogview3() -> Any:
    transformer = CogView3PlusTransformer2DModel(
        patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=4, num_attention_heads=2,
        text_embed_dim=32, time_embed_dim=8, condition_dim=2, pos_embed_max_size=8, sample_size=8,
    )  # fmt: skip
    return CogView3PlusPipeline(
        tokenizer=words(), text_encoder=t5(), vae=vae_of_eight(), transformer=transformer,
        scheduler=CogVideoXDDIMScheduler(),
    )  # fmt: skip


def kandinsky22() -> Any:
    decoder = unprompted.kandinsky()
    prior = PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, embedding_dim=16, num_layers=1, num_embeddings=77
    )
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8,
        projection_dim=16,
    )  # fmt: skip
    return KandinskyV22CombinedPipeline(
        **decoder.components, prior_prior=prior, prior_image_encoder=CLIPVisionModelWithProjection(vision),
        prior_text_encoder=tiny_families.encoder(16, CLIPTextModelWithProjection, 16),
        prior_tokenizer=tiny_families.tokenizer(),
        prior_scheduler=UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", num_train_timesteps=1000, clip_sample_range=5.0
        ),
        prior_image_processor=CLIPImageProcessorPil(size=16, crop_size=16),
    )  # fmt: skip


def kandinsky3() -> Any:
    unet = Kandinsky3UNet(
        in_channels=4, time_embedding_dim=4, groups=2, attention_head_dim=4, layers_per_block=3,
        block_out_channels=(32, 64), cross_attention_dim=4, encoder_hid_dim=32,
    )  # fmt: skip
    movq = VQModel(
        block_out_channels=(32, 32, 32, 32), down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4, latent_channels=4, layers_per_block=1,
        norm_num_groups=8, norm_type="spatial", num_vq_embeddings=12, vq_embed_dim=4,
    )  # fmt: skip
    sampler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", clip_sample=True, thresholding=False, variance_type="fixed_small"
    )
    return Kandinsky3Pipeline(tokenizer=words(), text_encoder=t5(), unet=unet, scheduler=sampler, movq=movq)


def sd_as(kind: Any, **changes: Any) -> Any:
    """Stable Diffusion 1 as another of its pipelines. changes: to the UNet's configuration."""
    stock = tiny_families.sd()
    more = {"unet": classic.unet(**changes)} if changes else {}
    return kind(**{**stock.components, **more}, requires_safety_checker=False)


def xl_as(kind: Any, **changes: Any) -> Any:
    stock = tiny_families.sdxl()
    return kind(**stock.components, **changes)


def instruct_xl() -> Any:
    stock = tiny_families.sdxl().components
    kept = {name: part for name, part in stock.items() if name not in {"image_encoder", "feature_extractor"}}
    unet = xl.unet(in_channels=8, out_channels=4)
    return StableDiffusionXLInstructPix2PixPipeline(**{**kept, "unet": unet}, add_watermarker=False)


def controlnet() -> Any:
    parts = tiny_families.sd().components
    return StableDiffusionControlNetPipeline(**parts, controlnet=classic.controlnet(), requires_safety_checker=False)


FAMILIES: dict[str, Callable[[], Any]] = {
    "Stable Diffusion 1": tiny_families.sd,
    "Latent consistency": lcm,
    "Stable Diffusion XL": tiny_families.sdxl,
    "Stable Diffusion 3": lambda: sd3(tiny_families.sd3()),
    "Stable Diffusion 3 with T5": lambda: sd3(tiny_families.sd3_with_t5()),
    "FLUX.1": flux,
    "Chroma": lambda: with_text(single_transformers.chroma(), ChromaPipeline, text_encoder=t5(), tokenizer=words()),
    "PixArt alpha": lambda: with_text(
        single_transformers.pixart(PixArtAlphaPipeline), PixArtAlphaPipeline, text_encoder=t5(), tokenizer=words()
    ),
    "PixArt sigma": lambda: with_text(
        single_transformers.pixart(PixArtSigmaPipeline), PixArtSigmaPipeline, text_encoder=t5(), tokenizer=words()
    ),
    "HunyuanDiT": hunyuan,
    "AuraFlow": lambda: with_text(
        single_transformers.aura(),
        AuraFlowPipeline,
        text_encoder=t5(32, UMT5EncoderModel, UMT5Config),
        tokenizer=words(),
    ),
    "Lumina 2": lambda: with_text(
        single_transformers.lumina(),
        Lumina2Pipeline,
        text_encoder=causal(Gemma2Model, Gemma2Config, 16),
        tokenizer=words(),
        vae=vae_of_eight(),
    ),
    "Sana": lambda: SanaPipeline(**sana_parts()),
    "Sana Sprint": sana_sprint,
    "CogView 4": lambda: with_text(
        single_transformers.cogview(),
        CogView4Pipeline,
        text_encoder=causal(GlmModel, GlmConfig, 32, eos_token_id=3),
        tokenizer=words(),
        vae=vae_of_eight(),
    ),
    "Qwen-Image": lambda: with_text(
        single_transformers.qwen(), QwenImagePipeline, text_encoder=qwen_encoder(), tokenizer=words()
    ),
    "Z-Image": lambda: with_text(
        single_transformers.z_image(),
        ZImagePipeline,
        text_encoder=causal(Qwen3Model, Qwen3Config, 16),
        tokenizer=words(),
    ),
    "FLUX.1 Kontext": lambda: with_text(flux(), FluxKontextPipeline),
    "FLUX.2 klein": flux2_klein,
    "HiDream": hidream,
    "CogView 3 Plus": cogview3,
    "Kandinsky 2.2": kandinsky22,
    "Kandinsky 3": kandinsky3,
    "Stable Diffusion 1, a folder of variations": lambda: sd_as(StableDiffusionImg2ImgPipeline),
    "Stable Diffusion 1, a folder that fills in": lambda: sd_as(
        StableDiffusionInpaintPipeline, in_channels=9, out_channels=4
    ),
    "Stable Diffusion XL, a folder of variations": lambda: xl_as(
        StableDiffusionXLImg2ImgPipeline, requires_aesthetics_score=False
    ),
    "Stable Diffusion XL, a folder that fills in": lambda: xl_as(
        StableDiffusionXLInpaintPipeline, requires_aesthetics_score=False
    ),
    "FLUX.1 Fill": flux_fill,
    "ControlNet": controlnet,
    "InstructPix2Pix": lambda: sd_as(StableDiffusionInstructPix2PixPipeline, in_channels=8, out_channels=4),
    "InstructPix2Pix XL": instruct_xl,
}
