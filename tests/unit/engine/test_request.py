"""Parameters as arguments of real pipeline classes."""

from dataclasses import replace

import pytest
import torch
from diffusers import (
    DDPMPipeline,
    DDPMScheduler,
    FluxKontextPipeline,
    FluxPipeline,
    HunyuanDiTPipeline,
    PixArtAlphaPipeline,
    QwenImageImg2ImgPipeline,
    QwenImagePipeline,
    SanaPipeline,
    SanaSprintPipeline,
    StableDiffusionPipeline,
    UNet2DModel,
)

from mezzotint.domain.errors import RunFailed
from mezzotint.engine import call_kwargs
from tests.making import make_parameters


def bare(kind: type) -> object:
    """An instance without parts: only its signature is looked at."""
    return kind.__new__(kind)


def test_every_parameter_reaches_the_call() -> None:
    kwargs = call_kwargs(bare(StableDiffusionPipeline), replace(make_parameters(seed=7), negative_prompt="leaf"))
    assert kwargs["prompt"] == "a red apple"
    assert kwargs["negative_prompt"] == "leaf"
    assert (kwargs["num_inference_steps"], kwargs["width"], kwargs["height"]) == (30, 64, 64)
    assert kwargs["guidance_scale"] == 3.5
    assert torch.equal(kwargs["generator"].get_state(), torch.Generator().manual_seed(7).get_state())


def test_no_negative_prompt_is_none_and_not_an_empty_one() -> None:
    """SDXL zeroes its embedding for None alone."""
    assert call_kwargs(bare(StableDiffusionPipeline), make_parameters())["negative_prompt"] is None


def test_transformer_pipelines_take_the_same_parameters() -> None:
    assert call_kwargs(bare(FluxPipeline), make_parameters())["guidance_scale"] == 3.5


@pytest.mark.parametrize("kind", [QwenImagePipeline, QwenImageImg2ImgPipeline])
def test_qwen_image_is_guided_by_its_real_scale_against_a_blank_text(kind: type) -> None:
    """Without a negative prompt its call draws unguided, however high the scale."""
    kwargs = call_kwargs(bare(kind), make_parameters())
    assert (kwargs["true_cfg_scale"], kwargs["negative_prompt"]) == (3.5, " ")
    assert call_kwargs(bare(kind), replace(make_parameters(), negative_prompt="leaf"))["negative_prompt"] == "leaf"


def test_the_real_scale_of_a_distilled_model_stays_off() -> None:
    assert "true_cfg_scale" not in call_kwargs(bare(FluxPipeline), make_parameters())


@pytest.mark.parametrize("kind", [PixArtAlphaPipeline, HunyuanDiTPipeline, SanaPipeline])
def test_families_with_a_table_of_sizes_draw_the_size_that_was_asked_for(kind: type) -> None:
    assert call_kwargs(bare(kind), make_parameters())["use_resolution_binning"] is False


def test_kontext_draws_the_size_that_was_asked_for_and_not_a_megapixel() -> None:
    kwargs = call_kwargs(bare(FluxKontextPipeline), replace(make_parameters(), width=96, height=32))
    assert (kwargs["max_area"], kwargs["width"], kwargs["height"]) == (96 * 32, 96, 32)


@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_sana_sprint_takes_any_number_of_steps(num_steps: int) -> None:
    kwargs = call_kwargs(bare(SanaSprintPipeline), replace(make_parameters(), num_steps=num_steps))
    assert kwargs.get("intermediate_timesteps", "its own") == ("its own" if num_steps == 2 else None)


def test_what_a_pipeline_cannot_do_is_refused_by_name() -> None:
    pipeline = DDPMPipeline(
        unet=UNet2DModel(
            sample_size=8,
            block_out_channels=(32, 64),
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
        ),
        scheduler=DDPMScheduler(),
    )
    with pytest.raises(RunFailed, match="prompt"):
        call_kwargs(pipeline, make_parameters())


@pytest.mark.parametrize("kind", [PixArtAlphaPipeline, SanaPipeline])
def test_a_call_without_a_negative_prompt_has_the_familys_own_empty_one(kind: type) -> None:
    assert call_kwargs(bare(kind), make_parameters())["negative_prompt"] == ""
