"""Texts of unequal length share passes where the denoiser takes a mask, and where that changes nothing."""

from typing import Any

import numpy as np
import pytest
import torch

from mezzotint.engine import Hub, Run
from tests.conformance.engine.driving import finish, pictures, run_alone, same_pictures
from tests.conformance.engine.zoo import SPECIES

UNEQUAL = (7, 12, 33, 12)
CONGRUENT = (20, 36, 4, 20)  # their differences are whole vectors


def species(name: str) -> Any:
    return next(found for found in SPECIES if found.name == name)


def with_text(request: dict[str, Any], tokens: int) -> dict[str, Any]:
    """The request with its text cut, or lengthened by itself, to so many tokens."""

    def cut(value: Any) -> Any:
        return torch.cat([value] * 5, 1)[:, :tokens] if isinstance(value, torch.Tensor) and value.ndim > 1 else value

    return {name: cut(value) if "prompt" in name else value for name, value in request.items()}


def requests(name: str, lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    return [with_text(species(name).request(i, 3), tokens) for i, tokens in enumerate(lengths)]


def together(hub: Hub, calls: list[dict[str, Any]]) -> list[Run]:
    runs = [hub.submit(call) for call in calls]
    finish(hub, *runs)
    return runs


@pytest.fixture(scope="module")
def qwen() -> Any:
    return species("QwenImagePipeline").build()


@pytest.mark.parametrize("name", ["QwenImagePipeline", "PixArtSigmaPipeline"])
def test_in_fast_mode_texts_of_any_length_share_every_pass(name: str) -> None:
    pipeline, hub = species(name).build(), None
    hub = Hub(pipeline, exact=False)
    runs = together(hub, requests(name, UNEQUAL))
    assert hub.num_passes == max(run.num_calls for run in runs)
    stock = [pictures(pipeline(**call)) for call in requests(name, UNEQUAL)]
    assert max(np.abs(pictures(run.output) - s).max() for run, s in zip(runs, stock, strict=True)) <= 1e-5


def test_in_exact_mode_texts_share_a_pass_only_where_no_bit_changes(qwen: Any) -> None:
    for lengths, saved in ((CONGRUENT, True), (UNEQUAL, False)):
        hub = Hub(qwen)
        runs = together(hub, requests("QwenImagePipeline", lengths))
        alone = [run_alone(qwen, call) for call in requests("QwenImagePipeline", lengths)]
        assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
        assert (hub.num_passes == max(run.num_calls for run in runs)) == saved
        assert hub.num_merged > 0


def test_a_denoiser_that_does_not_heed_its_mask_gets_no_padding(qwen: Any) -> None:
    def forget(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, kwargs | {"encoder_hidden_states_mask": None}

    handle = qwen.transformer.register_forward_pre_hook(forget, with_kwargs=True)
    for exact, lengths in ((True, CONGRUENT), (False, UNEQUAL)):
        hub = Hub(qwen, exact=exact)
        runs = together(hub, requests("QwenImagePipeline", lengths))
        alone = [pictures(run_alone(qwen, call).output) for call in requests("QwenImagePipeline", lengths)]
        bound = 0.0 if exact else 1e-5
        assert max(np.abs(pictures(run.output) - a).max() for run, a in zip(runs, alone, strict=True)) <= bound
        assert hub.unmerged_reasons["texts of unequal length"] > 0
    handle.remove()
