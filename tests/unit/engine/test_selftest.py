"""A pipeline's self-test tells what it can do, and what it cannot."""

from typing import Any

import torch
from diffusers import FirstBlockCacheConfig

from mezzotint.engine import Hub, self_test
from tests.conformance.engine.driving import finish
from tests.conformance.engine.zoo import SPECIES, flux, flux_request, sdxl, sdxl_request


def two() -> tuple[dict[str, Any], dict[str, Any]]:
    return flux_request(0, 4), flux_request(1, 3)


def test_a_usual_pipeline_merges_and_resumes() -> None:
    for exact in (True, False):
        found = self_test(flux(), two, exact=exact)
        assert (found.batch, found.resume, found.exclusive) == ("yes", "step", False)
        assert found.difference < 1e-5


def test_pictures_of_any_kind_can_be_compared() -> None:
    def drawn() -> tuple[dict[str, Any], dict[str, Any]]:
        return sdxl_request(0, 3) | {"output_type": "pil"}, sdxl_request(1, 3) | {"output_type": "pil"}

    found = self_test(sdxl(), drawn)
    assert (found.batch, found.resume) == ("yes", "step")
    assert found.difference <= 1


def test_a_guidance_that_cuts_the_batch_into_parts_is_batched_with_rows_in_turn() -> None:
    species = next(found for found in SPECIES if found.name == "StableDiffusionPAGPipeline")
    found = self_test(species.build(), lambda: (species.request(0, 3), species.request(1, 3)))
    assert (found.batch, found.resume) == ("interleaved", "step")


def test_a_denoiser_that_mixes_rows_is_reported() -> None:
    pipeline = flux()
    pipeline.transformer.register_forward_hook(
        lambda module, args, output: (output[0] + output[0].mean(dim=0, keepdim=True),)
    )
    found = self_test(pipeline, two)
    assert (found.batch, found.resume) == ("no", "step")
    assert "merged output differs from separate calls" in found.reasons


def test_a_denoiser_with_a_cache_of_its_own_is_reported() -> None:
    pipeline = flux()
    pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    found = self_test(pipeline, two)
    assert (found.batch, found.exclusive) == ("no", True)
    assert any("one run at a time" in reason for reason in found.reasons)


def test_verdicts_found_in_the_test_save_users_the_verification() -> None:
    pipeline, verdicts = flux(), {}
    self_test(pipeline, two, verdicts=verdicts)
    hub = Hub(pipeline, verdicts=verdicts)
    runs = [hub.submit(request) for request in two()]
    finish(hub, *runs)
    assert hub.num_merged > 0
    assert hub.num_verifications == 0
    assert torch.is_grad_enabled()
