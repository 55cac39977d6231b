from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch.nn import functional

from mezzotint.engine import PreviewMap
from mezzotint.engine import preview as preview_module
from tests.conformance.engine.zoo import flux, flux_request
from tests.conformance.engine.zoo.parts import seeded
from tests.conformance.engine.zoo.single_transformers import qwen, qwen_request

PACKED: dict[str, Any] = {"flux": lambda: (flux(), flux_request), "qwen": lambda: (seeded(qwen)(), qwen_request)}


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


def test_a_fit_is_kept_and_found_again_by_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, str] = {}
    first = PreviewMap.fit(full_vae(), kept=kept)
    assert len(kept) == 1
    with monkeypatch.context() as patch:
        patch.setattr(preview_module, "_fit_matrix", None)
        again = PreviewMap.fit(full_vae(), kept=kept)
    assert torch.equal(again.matrix, first.matrix)
    assert (again.scale, again.decode_s) == (first.scale, first.decode_s)
    other = full_vae()
    other.decoder.conv_out.weight.data.mul_(2)
    PreviewMap.fit(other, kept=kept)
    assert len(kept) == 2


@pytest.mark.parametrize(
    "spoiled", ["", "{", "[]", '{"matrix": [[1, 2, 3]], "scale": 8, "decode_s": 1}', '{"scale": 8}']
)
def test_a_kept_fit_that_is_none_is_made_anew(spoiled: str) -> None:
    kept: dict[str, str] = {}
    first = PreviewMap.fit(full_vae(), kept=kept)
    (key,) = kept
    kept[key] = spoiled
    assert torch.equal(PreviewMap.fit(full_vae(), kept=kept).matrix, first.matrix)
    assert kept[key] != spoiled


def test_a_tiny_autoencoder_decodes_previews_in_the_place_of_a_costly_vae(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_vae()
    previews = PreviewMap.fit(full_vae(), tiny)
    assert previews.matrix is not None
    latents = torch.randn(1, 4, 8, 8)
    decoded = preview_module._to_uint8(preview_module._decode(tiny, latents)[0])
    assert np.array_equal(previews.image(latents), decoded)


def test_large_latents_are_shrunk_for_it_rather_than_shown_late() -> None:
    previews = replace(PreviewMap.fit(full_vae(), tiny_vae()), decode_s=preview_module.TINY_BUDGET_S / 1024)
    latents = torch.randn(1, 4, 64, 96)
    picture, scale = previews.image(latents), 2  # of the tiny one
    assert picture is not None
    height, width = picture.shape[0] // scale, picture.shape[1] // scale
    assert height * width <= 1024
    assert abs(width / height - 1.5) < 0.1
    too_slow = replace(previews, decode_s=1.0)
    mapped = preview_module._to_uint8(previews._map(latents))
    assert np.array_equal(too_slow.image(latents), mapped)


def test_a_preview_that_memory_has_no_room_for_is_shown_by_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    previews, latents = replace(PreviewMap.fit(full_vae()), decode_s=0.0), torch.randn(1, 4, 8, 8)
    mapped = preview_module._to_uint8(previews._map(latents))
    freed = []

    def decode(vae: object, latents: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(preview_module, "_decode", decode)
    monkeypatch.setattr(preview_module, "release", lambda: freed.append(1))
    shown = previews.image(latents)
    assert shown is not None
    assert np.array_equal(shown, mapped)
    assert freed == [1]


@pytest.mark.parametrize("kind", ["flux", "qwen"])
def test_packed_latents_are_shown_as_their_own_pipeline_decodes_them(kind: str) -> None:
    pipeline, request = PACKED[kind]()
    previews = replace(PreviewMap.fit(pipeline.vae), decode_s=0.0)
    seen: list[torch.Tensor] = []

    def note(pipe: Any, i: int, t: Any, kwargs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(kwargs["latents"])
        return {}

    wide = {"height": 32, "width": 64}
    output = pipeline(**request(0, 2) | wide | {"callback_on_step_end": note, "output_type": "pt"})
    last = seen[-1]
    assert last.ndim == 3
    picture = previews.image(last, (64, 32))
    assert picture is not None
    finished = (output.images[0] * 255).round().permute(1, 2, 0).to(torch.uint8).numpy()
    assert picture.shape == finished.shape == (32, 64, 3)
    assert np.abs(picture.astype(int) - finished).max() <= 1
    mapped = replace(previews, decode_s=1.0).image(last, (64, 32))
    assert mapped is not None
    assert mapped.shape[1] == 2 * mapped.shape[0]
    assert previews.image(last) is None, "how they lie is not known"
    assert previews.image(last, (64, 64)) is None


def test_a_vae_with_means_of_its_latents_is_fitted_with_them() -> None:
    pipeline, _ = PACKED["qwen"]()
    plain = PreviewMap.fit(pipeline.vae)
    pipeline.vae.register_to_config(latents_mean=[0.5] * 4, latents_std=[2.0] * 4)
    latents = torch.randn(1, 4, 8, 8)
    expected = pipeline.vae.decode(latents[:, :, None] * 2 + 0.5, return_dict=False)[0][:, :, 0]
    assert torch.allclose(preview_module._decode(pipeline.vae, latents), expected.detach(), atol=1e-6)
    assert plain.matrix is not None
    assert not torch.allclose(plain.matrix, PreviewMap.fit(pipeline.vae).matrix)


@pytest.mark.parametrize("fits", [True, False])
def test_on_a_device_a_decode_is_timed_where_its_launches_do_not_count(
    monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    def decode_all(vae: object, latents: torch.Tensor) -> tuple[torch.Tensor, float]:
        """20 ms for the launches, and a microsecond a latent pixel."""
        if latents.shape[-1] > 8 and not fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        pictures = torch.randn(len(latents), 3, *latents.shape[2:])
        return pictures, 0.02 + 1e-6 * latents.shape[2] * latents.shape[3]

    monkeypatch.setattr(preview_module, "_decode_all", decode_all)
    assert PreviewMap.fit(tiny_vae()).decode_s == pytest.approx(0.02 / 64, rel=0.01)
    monkeypatch.setattr(preview_module, "is_asynchronous", lambda tensor: True)
    found = PreviewMap.fit(tiny_vae())
    assert found.matrix is not None
    assert found.decode_s == pytest.approx(0.02 / 64**2 if fits else 0.02 / 64, rel=0.3)
