"""Texts of unequal length share passes where the denoiser takes a mask, and where that changes nothing."""

from typing import Any

import numpy as np
import pytest
import torch

from mezzotint.engine import Hub, Run
from tests.conformance.engine.driving import finish, pictures, run_alone, same_pictures
from tests.conformance.engine.zoo import SPECIES

LENGTHS = (7, 12, 33, 12)


def species(name: str) -> Any:
    return next(found for found in SPECIES if found.name == name)


def with_text(request: dict[str, Any], tokens: int) -> dict[str, Any]:
    """The request with its text cut, or lengthened by itself, to so many tokens."""

    def cut(value: Any) -> Any:
        return torch.cat([value] * 5, 1)[:, :tokens] if isinstance(value, torch.Tensor) and value.ndim > 1 else value

    return {name: cut(value) if "prompt" in name else value for name, value in request.items()}


def requests(name: str) -> list[dict[str, Any]]:
    return [with_text(species(name).request(i, 3), tokens) for i, tokens in enumerate(LENGTHS)]


def together(hub: Hub, calls: list[dict[str, Any]]) -> list[Run]:
    runs = [hub.submit(call) for call in calls]
    finish(hub, *runs)
    return runs


@pytest.mark.parametrize("name", ["QwenImagePipeline", "PixArtSigmaPipeline"])
def test_in_fast_mode_texts_of_any_length_share_every_pass(name: str) -> None:
    pipeline = species(name).build()
    hub = Hub(pipeline, exact=False)
    runs = together(hub, requests(name))
    assert hub.num_passes == max(run.num_calls for run in runs)
    stock = [pictures(pipeline(**call)) for call in requests(name)]
    assert max(np.abs(pictures(run.output) - s).max() for run, s in zip(runs, stock, strict=True)) <= 1e-5


@pytest.mark.parametrize("name", ["QwenImagePipeline", "PixArtSigmaPipeline"])
def test_in_exact_mode_they_share_every_pass_too_and_keep_their_bits(name: str) -> None:
    pipeline = species(name).build()
    hub = Hub(pipeline)
    runs = together(hub, requests(name))
    assert hub.num_passes == max(run.num_calls for run in runs)
    alone = [run_alone(pipeline, call) for call in requests(name)]
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    stock = [pictures(pipeline(**call)) for call in requests(name)]
    assert max(np.abs(pictures(run.output) - s).max() for run, s in zip(runs, stock, strict=True)) <= 1e-5


@pytest.mark.parametrize("exact", [True, False])
def test_a_denoiser_that_does_not_heed_its_mask_gets_no_padding(exact: bool) -> None:
    pipeline = species("QwenImagePipeline").build()

    def forget(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, kwargs | {"encoder_hidden_states_mask": None}

    pipeline.transformer.register_forward_pre_hook(forget, with_kwargs=True)
    hub = Hub(pipeline, exact=exact)
    runs = together(hub, requests("QwenImagePipeline"))
    stock = [pictures(pipeline(**call)) for call in requests("QwenImagePipeline")]
    assert max(np.abs(pictures(run.output) - s).max() for run, s in zip(runs, stock, strict=True)) <= 1e-5
    assert hub.num_merged > 0  # those of equal length
    assert exact or hub.unmerged_reasons["texts of unequal length"] > 0
