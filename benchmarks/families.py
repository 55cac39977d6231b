"""Serve a tiny random model of each family from a folder, as a user would, and compare it with the stock pipeline.

PYTHONPATH=. python benchmarks/families.py [FAMILY ...] [--out FILE]

Each family's folder is written by diffusers with text encoders and tokenizers, then found, checked, described, loaded
and drawn with by the code that serves models: once for each of its tasks at its smallest size, and by two requests
alone, together and resumed. `difference` is the largest to the stock call's picture, in levels of 0..255.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AutoencoderDC,
    AutoencoderKL,
    ChromaPipeline,
    CogView4Pipeline,
    FluxPipeline,
    HunyuanDiT2DModel,
    HunyuanDiTPipeline,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    Lumina2Pipeline,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    QwenImagePipeline,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    ZImagePipeline,
)
from serve import hardware
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    Gemma2Config,
    Gemma2Model,
    GlmConfig,
    GlmModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from mezzotint.config import read_settings
from mezzotint.engine import self_test
from mezzotint.engine.models.files import CARD
from mezzotint.main.drawing.trial_drawing import draw_smallest, smallest_px
from mezzotint.main.served_models import Findings, build_catalog, find_models, sample_request
from tests.conformance.engine.zoo import classic, flows
from tests.conformance.engine.zoo.parts import flow_vae, seeded
from tests.unit.engine.models import tiny_families

STEPS = (4, 3)
NATIVE_PX = 64
"""Said by a card: families that name no size of their own count as models of one megapixel."""
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


def sana() -> Any:
    transformer = SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=16,
        sample_size=32,
    )  # fmt: skip
    vae = AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1), downsample_block_type="conv",
        upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.4,
    )  # fmt: skip
    from diffusers import FlowMatchEulerDiscreteScheduler

    encoder = causal(Gemma2Model, Gemma2Config, 16)
    return SanaPipeline(
        tokenizer=words(), text_encoder=encoder, vae=vae, transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )  # fmt: skip


def hunyuan() -> Any:
    from diffusers import DDPMScheduler

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


FAMILIES: dict[str, Callable[[], Any]] = {
    "Stable Diffusion 1": tiny_families.sd,
    "Latent consistency": lcm,
    "Stable Diffusion XL": tiny_families.sdxl,
    "Stable Diffusion 3": lambda: sd3(tiny_families.sd3()),
    "Stable Diffusion 3 with T5": lambda: sd3(tiny_families.sd3_with_t5()),
    "FLUX.1": flux,
    "Chroma": lambda: with_text(flows.chroma(), ChromaPipeline, text_encoder=t5(), tokenizer=words()),
    "PixArt alpha": lambda: with_text(
        flows.pixart(PixArtAlphaPipeline), PixArtAlphaPipeline, text_encoder=t5(), tokenizer=words()
    ),
    "PixArt sigma": lambda: with_text(
        flows.pixart(PixArtSigmaPipeline), PixArtSigmaPipeline, text_encoder=t5(), tokenizer=words()
    ),
    "HunyuanDiT": hunyuan,
    "AuraFlow": lambda: with_text(
        flows.aura(), AuraFlowPipeline, text_encoder=t5(32, UMT5EncoderModel, UMT5Config), tokenizer=words()
    ),
    "Lumina 2": lambda: with_text(
        flows.lumina(),
        Lumina2Pipeline,
        text_encoder=causal(Gemma2Model, Gemma2Config, 16),
        tokenizer=words(),
        vae=vae_of_eight(),
    ),
    "Sana": sana,
    "CogView 4": lambda: with_text(
        flows.cogview(),
        CogView4Pipeline,
        text_encoder=causal(GlmModel, GlmConfig, 32, eos_token_id=3),
        tokenizer=words(),
        vae=vae_of_eight(),
    ),
    "Qwen-Image": lambda: with_text(flows.qwen(), QwenImagePipeline, text_encoder=qwen_encoder(), tokenizer=words()),
    "Z-Image": lambda: with_text(
        flows.z_image(), ZImagePipeline, text_encoder=causal(Qwen3Model, Qwen3Config, 16), tokenizer=words()
    ),
}


def serve_family(build: Callable[[], Any], folder: Path) -> dict[str, Any]:
    """Found, checked, loaded, drawn with and compared; raises what a server would say."""
    seeded(build)().save_pretrained(folder / "model", safe_serialization=True)
    (folder / "model" / CARD).write_text(json.dumps({"native_width": NATIVE_PX}))
    settings = read_settings(model=str(folder / "model"), data=folder / "data", device="cpu")
    (folder / "data").mkdir()
    (offer,) = find_models(settings)
    catalog = build_catalog(settings, [offer], Findings.of(settings.data))
    catalog.prepare()
    loaded = catalog.load(offer.info.name, lambda share: None)
    draw_smallest(loaded, offer)
    hub = loaded.hub

    def request(number: int) -> dict[str, Any]:
        return sample_request(hub.pipeline, offer, seed=number, num_steps=STEPS[number])

    found = self_test(hub.pipeline, lambda: (request(0), request(1)), exact=hub.numerics.exact)
    return {
        "pipeline": type(hub.pipeline).__name__,
        "tasks": list(offer.info.tasks),
        "smallest_px": smallest_px(offer),
        "grid_px": offer.info.grid_px,
        "negative_prompt": offer.info.takes_negative_prompt,
        "batches": found.batch.value,
        "resumes": found.resume.value,
        "difference": found.difference,
        "reasons": list(found.reasons),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "families",
        nargs="*",
        metavar="FAMILY",
        help=f"of: {', '.join(FAMILIES)}; default: all; the others stay as the file has them",
    )
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"hardware": hardware(), "families": {}}
    if wanted.families and wanted.out is not None and wanted.out.exists():
        result["families"] = json.loads(wanted.out.read_text())["families"]
    for name in wanted.families or FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = serve_family(FAMILIES[name], Path(folder))
            except Exception as error:  # noqa: BLE001 - whatever the family's parts raise is the finding
                told = (str(error).strip() or type(error).__name__).splitlines()[0].replace(folder, "")
                found = {"fails": f"{type(error).__name__}: {told[:300]}"}
        result["families"][name] = found
        print(f"{name}: {json.dumps(found)}", flush=True)
        if wanted.out is not None:
            wanted.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
