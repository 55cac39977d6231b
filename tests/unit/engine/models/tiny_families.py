"""Tiny models of the families that come as single files, as folders and as files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from tests.conformance.engine.zoo import classic, flows, xl
from tests.unit.engine.models import original_layout as layout

LETTERS = [f"{letter}{end}" for letter in "abcdefghijklmnopqrstuvwxyz" for end in ("", "</w>")]


def tokenizer() -> CLIPTokenizer:
    vocabulary = [*LETTERS, "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({word: at for at, word in enumerate(vocabulary)}, [], model_max_length=77)


def encoder(hidden: int, kind: Any = CLIPTextModel, projection: int = 32, **more: Any) -> Any:
    config = CLIPTextConfig(
        vocab_size=len(LETTERS) + 2, hidden_size=hidden, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=4, projection_dim=projection, **more,
    )  # fmt: skip
    return kind(config)


def sd(**more: Any) -> StableDiffusionPipeline:
    sampler = DDIMScheduler(**classic.BETAS, clip_sample=False)
    return StableDiffusionPipeline(**classic.parts(sampler, text_encoder=encoder(32), tokenizer=tokenizer()) | more)


def sdxl() -> StableDiffusionXLPipeline:
    encoders = {"text_encoder": encoder(24), "text_encoder_2": encoder(40, CLIPTextModelWithProjection)}
    tokenizers = {"tokenizer": tokenizer(), "tokenizer_2": tokenizer()}
    return StableDiffusionXLPipeline(**xl.parts(EulerDiscreteScheduler(**classic.BETAS)) | encoders | tokenizers)


def sd3() -> StableDiffusion3Pipeline:
    small = encoder(24, CLIPTextModelWithProjection, 24)
    small.text_projection.weight.data = torch.eye(24)  # a single file has none
    parts = flows.sd3_parts(
        transformer=SD3Transformer2DModel(
            **flows.sd3_shape(sample_size=16, joint_attention_dim=4096, qk_norm="rms_norm", pooled_projection_dim=64)
        ),
        text_encoder=small,
        text_encoder_2=encoder(40, CLIPTextModelWithProjection, 40),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
    )
    return StableDiffusion3Pipeline(**parts)


def sd3_with_t5() -> StableDiffusion3Pipeline:
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *((letter, -2.0) for letter in "abcdefghi")]
    config = T5Config(vocab_size=32, d_model=64, d_kv=8, d_ff=37, num_layers=1, num_heads=4)
    shape = flows.sd3_shape(sample_size=16, joint_attention_dim=64, qk_norm="rms_norm", pooled_projection_dim=64)
    parts = dict(sd3().components) | {
        "transformer": SD3Transformer2DModel(**shape),
        "text_encoder_3": T5EncoderModel(config),
        "tokenizer_3": T5Tokenizer(vocab=words, extra_ids=0),
    }
    return StableDiffusion3Pipeline(**parts)


def as_sd1(one: Any) -> layout.Tensors:
    return layout.unet(one.unet) | layout.vae(one.vae) | layout.clip(one.text_encoder)


def as_sd2(one: Any) -> layout.Tensors:
    return layout.unet(one.unet) | layout.vae(one.vae) | layout.open_clip(one.text_encoder, "cond_stage_model.model.")


def as_sdxl(one: Any) -> layout.Tensors:
    first = layout.clip(one.text_encoder, "conditioner.embedders.0.transformer.")
    second = layout.open_clip(one.text_encoder_2, "conditioner.embedders.1.model.")
    return layout.unet(one.unet) | layout.vae(one.vae) | first | second


def as_sd3(one: Any) -> layout.Tensors:
    first = layout.clip(one.text_encoder, "text_encoders.clip_l.transformer.")
    second = layout.clip_with_projection(one.text_encoder_2, "text_encoders.clip_g.transformer.")
    return layout.sd3(one.transformer) | layout.vae(one.vae) | first | second


FAMILIES: dict[str, tuple[Callable[[], Any], Callable[[Any], layout.Tensors]]] = {
    "sd1": (sd, as_sd1),
    "sd2": (sd, as_sd2),
    "sdxl": (sdxl, as_sdxl),
    "sd3": (sd3, as_sd3),
    "sd3 with T5": (sd3_with_t5, lambda one: as_sd3(one) | layout.t5(one.text_encoder_3)),
}


def write(pipeline: Any, tensors: layout.Tensors, folder: Path) -> tuple[Path, Path]:
    """A model as a folder and as a file."""
    pipeline.save_pretrained(folder / "folder")
    save_file(layout.contiguous(tensors), folder / "model.safetensors")
    return folder / "folder", folder / "model.safetensors"


def strip(folder: Path, like: Path) -> Path:
    """The configuration of a model alone."""
    return Path(shutil.copytree(folder, like, ignore=shutil.ignore_patterns("*.safetensors")))


def draw(pipeline: Any) -> np.ndarray:
    generator = torch.Generator().manual_seed(1)
    size = {"height": 32, "width": 32}
    drawn = pipeline("a red cat", num_inference_steps=2, generator=generator, output_type="np", **size)
    return np.asarray(drawn.images)


def edit(file: Path, target: Path, change: Callable[[layout.Tensors], Any]) -> Path:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, target)
    return target


def spoil_one(tensors: layout.Tensors) -> None:
    tensors["first_stage_model.decoder.conv_in.bias"][3] = float("nan")
