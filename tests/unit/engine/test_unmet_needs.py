"""Pipelines that no job can feed are refused when a model is described, with what they need."""

import json
import math
from pathlib import Path

import diffusers
import pytest
import torch

from mezzotint.domain.errors import ModelMissing, ModelUnsupported
from mezzotint.engine.models.describe import describe_model
from mezzotint.engine.models.structure import check_structure
from mezzotint.engine.tasks import find_image_guidance, find_unmet_need, tasks_of, with_area

DRAWN = (
    "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline", "FluxKontextPipeline", "Flux2Pipeline",
    "Flux2KleinPipeline", "QwenImagePipeline", "ZImagePipeline", "SanaPipeline", "SanaSprintPipeline",
    "PixArtAlphaPipeline", "PixArtSigmaPipeline", "HunyuanDiTPipeline", "Lumina2Pipeline", "HiDreamImagePipeline",
    "ChromaPipeline", "Kandinsky3Pipeline", "KandinskyV22CombinedPipeline", "StableCascadeCombinedPipeline",
    "LatentConsistencyModelPipeline", "CogView3PlusPipeline", "CogView4Pipeline", "AuraFlowPipeline",
    "StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline", "QwenImageEditPipeline",
    "QwenImageEditPlusPipeline",
)  # fmt: skip
REFUSED = {
    "StableDiffusionControlNetPipeline": "a picture",
    "LongCatImageEditPipeline": "a picture",
    "StableDiffusionUpscalePipeline": "a picture",
    "StableCascadeDecoderPipeline": "its image_embeddings",
    "KandinskyV22Pipeline": "no prompt",
    "DiTPipeline": "no prompt",
    "MarigoldDepthPipeline": "no prompt",
    "CogVideoXPipeline": "videos",
    "WanPipeline": "videos",
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_pipeline_that_jobs_can_be_drawn_with_is_not_refused(name: str) -> None:
    assert find_unmet_need(getattr(diffusers, name)) is None


@pytest.mark.parametrize("name", REFUSED)
def test_a_pipeline_that_no_job_can_feed_is_refused_with_what_it_needs(name: str, tmp_path: Path) -> None:
    index = {"_class_name": name, "unet": ["diffusers", "UNet2DConditionModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text(json.dumps({"sample_size": 8, "block_out_channels": [8]}))
    with pytest.raises(ModelUnsupported, match=f"{name}: .*{REFUSED[name]}"):
        describe_model(tmp_path)


@pytest.mark.parametrize("name", ["Qwen2VLProcessor", "PixtralProcessor", "Qwen2VLVideoProcessor"])
@pytest.mark.parametrize(
    ("torch_version", "advice"),
    [
        ("2.13.0", r"pip install 'mezzotint\[vision\]' brings torchvision"),
        ("2.13.0+cu130", r"pip install 'mezzotint\[vision\]' brings torchvision"),
        ("2.13.0+cpu", r"take the torchvision of torch 2.13.0 from the index that this torch"),
    ],
)
def test_a_processor_that_needs_torchvision_says_how_to_get_it(
    name: str, torch_version: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", torch_version)
    monkeypatch.setattr("mezzotint.engine.models.structure.find_spec", lambda package: None)
    index = {"_class_name": "QwenImageEditPipeline", "processor": ["transformers", name]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelMissing, match=rf"{name}, its processor, .* torchvision: {advice}"):
        check_structure(tmp_path)


@pytest.mark.parametrize(
    ("kind", "positions", "largest"),
    [("SD3Transformer2DModel", 96, 1536), ("AuraFlowTransformer2DModel", 9216, 1536), ("Any", None, 2048)],
)
def test_no_side_is_offered_that_the_model_has_no_positions_for(
    kind: str, positions: int | None, largest: int, tmp_path: Path
) -> None:
    parts = {"transformer": ["diffusers", kind], "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusion3Pipeline"} | parts))
    configs = {
        "transformer": {"_class_name": kind, "sample_size": 128, "patch_size": 2, "pos_embed_max_size": positions},
        "vae": {"block_out_channels": [8, 8, 8, 8]},
    }
    for part, config in configs.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    info = describe_model(tmp_path)
    assert (info.native_width, info.grid_px, info.max_px) == (1024, 16, largest)


@pytest.mark.parametrize(
    ("name", "num_channels", "tasks"),
    [
        ("StableDiffusionPipeline", 4, ["generate", "variation", "inpaint", "outpaint"]),
        ("StableDiffusionImg2ImgPipeline", 4, ["variation", "inpaint", "outpaint"]),
        ("StableDiffusionInpaintPipeline", 4, ["variation", "inpaint", "outpaint"]),
        ("StableDiffusionInpaintPipeline", 9, ["inpaint", "outpaint"]),
        ("FluxFillPipeline", None, ["inpaint", "outpaint"]),
        ("FluxKontextPipeline", None, ["generate", "edit"]),
        ("Flux2KleinPipeline", None, ["generate", "edit"]),
        ("StableDiffusionInstructPix2PixPipeline", 8, ["edit"]),
        ("StableDiffusionXLInstructPix2PixPipeline", 8, ["edit"]),
        ("QwenImageEditPlusPipeline", None, ["edit"]),
        ("KandinskyV22CombinedPipeline", 4, ["generate", "variation"]),
        ("Kandinsky3Pipeline", None, ["generate", "variation"]),
        ("LatentConsistencyModelPipeline", 4, ["generate", "variation", "inpaint", "outpaint"]),
    ],
)
def test_tasks_are_those_that_the_pipeline_and_its_denoiser_do(
    name: str, num_channels: int | None, tasks: list[str]
) -> None:
    assert list(tasks_of(getattr(diffusers, name), num_channels)) == tasks


@pytest.mark.parametrize(
    ("name", "usual"),
    [("StableDiffusionXLInstructPix2PixPipeline", 1.5), ("FluxKontextPipeline", None), ("DreamLitePipeline", None)],
)
def test_image_guidance_is_offered_where_an_edit_heeds_it(name: str, usual: float | None) -> None:
    assert find_image_guidance(getattr(diffusers, name)) == usual


def test_a_mask_reader_whose_family_fills_nothing_in_is_refused(tmp_path: Path) -> None:
    index = {"_class_name": "KandinskyV22CombinedPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "unet").mkdir()
    config = {"sample_size": 8, "block_out_channels": [8], "in_channels": 9}
    (tmp_path / "unet" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnsupported, match="no task here gives its denoiser what it reads"):
        describe_model(tmp_path)


def test_kandinsky_draws_sides_of_whole_groups_of_latents(tmp_path: Path) -> None:
    parts = {"unet": ["diffusers", "Kandinsky3UNet"], "movq": ["diffusers", "VQModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "Kandinsky3Pipeline"} | parts))
    configs = {"unet": {"block_out_channels": [32, 64]}, "movq": {"block_out_channels": [8, 8, 8, 8]}}
    for part, config in configs.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    assert describe_model(tmp_path).grid_px == 64


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (512, 1536), (48, 400), (32, 32)])
def test_a_family_of_one_area_draws_the_size_that_is_asked_for(width: int, height: int) -> None:
    pipeline = diffusers.HiDreamImagePipeline.__new__(diffusers.HiDreamImagePipeline)
    pipeline.default_sample_size, pipeline.vae_scale_factor = 128, 8
    sized = with_area(pipeline, width * height)
    scale = math.sqrt((sized.default_sample_size * 8) ** 2 / (width * height))  # as the stock call scales
    assert [int(side * scale // 16 * 16) for side in (width, height)] == [width, height]
    assert pipeline.default_sample_size == 128, "the pipeline that all runs share stays"


@pytest.mark.parametrize("library", ["diffusers", "wuerstchen"])
def test_a_class_that_diffusers_has_moved_away_is_named_at_the_start(library: str, tmp_path: Path) -> None:
    index = {"_class_name": "StableCascadeCombinedPipeline", "vqgan": [library, "PaellaVQModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnsupported, match=f"no PaellaVQModel in {library}, the model's vqgan"):
        check_structure(tmp_path)
