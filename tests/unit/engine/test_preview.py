import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch.nn import functional

from mezzotint.engine import PreviewMap
from mezzotint.engine import preview as preview_module


def tiny_vae() -> AutoencoderTiny:
    torch.manual_seed(0)
    return AutoencoderTiny(
        latent_channels=4, encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1),
    ).eval()  # fmt: skip


def full_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(block_out_channels=(16,), norm_num_groups=4, latent_channels=4, scaling_factor=0.5).eval()


@pytest.mark.parametrize("make", [tiny_vae, full_vae])
def test_a_preview_has_the_form_of_a_picture_at_least_as_large_as_the_latents(make) -> None:
    previews = PreviewMap.fit(make())
    picture = previews.image(torch.randn(1, 4, 8, 12))
    assert picture is not None
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert picture.shape[0] >= 8
    assert picture.shape[1] >= 12


@pytest.mark.parametrize("make", [tiny_vae, full_vae])
def test_the_linear_map_comes_nearer_to_the_decoded_picture_than_its_mean_colour(make) -> None:
    vae = make()
    previews = PreviewMap.fit(vae)
    latents = functional.interpolate(torch.randn(1, 4, 2, 2), size=(8, 8))
    truth = functional.adaptive_avg_pool2d(preview_module._decode(vae, latents), 8)[0]
    mapped = functional.adaptive_avg_pool2d(previews._map(latents), 8)
    mean = truth.mean(dim=(1, 2), keepdim=True)
    assert (mapped - truth).square().mean() < (mean - truth).square().mean()


def test_a_costly_decoder_is_not_called_for_a_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    previews = PreviewMap.fit(full_vae())
    monkeypatch.setattr(preview_module, "DECODE_BUDGET_S", 0.0)
    monkeypatch.setattr(preview_module, "_decode", None)
    assert previews.image(torch.randn(1, 4, 8, 8)) is not None


@pytest.mark.parametrize("shape", [(1, 64, 4), (1, 8, 8, 8), (1, 4, 2, 8, 8)])
def test_latents_of_another_form_have_no_preview(shape: tuple[int, ...]) -> None:
    assert PreviewMap.fit(tiny_vae()).image(torch.zeros(shape)) is None


def test_latents_that_are_not_finite_still_give_a_picture() -> None:
    picture = PreviewMap.fit(tiny_vae()).image(torch.full((1, 4, 8, 8), float("nan")))
    assert picture is not None


def test_fitting_leaves_the_global_random_stream_where_it_was() -> None:
    vae = tiny_vae()
    before = torch.get_rng_state()
    PreviewMap.fit(vae)
    assert torch.equal(before, torch.get_rng_state())
