"""Adapters are worn by the run that names them and by no other."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from transformers import CLIPTextConfig, CLIPTextModel

from mezzotint.domain.errors import FingerprintMismatch
from mezzotint.engine import EmbeddingCache, Hub, Run
from mezzotint.engine.errors import UnknownAdapter
from tests.conformance.engine.driving import finish, pictures, run_alone, same_pictures, turn_until_idle
from tests.conformance.engine.zoo import sdxl, sdxl_request


def load(module: Any, name: str, seed: int, rank: int = 4) -> None:
    torch.manual_seed(seed)
    kind = LoraConfig(r=rank, target_modules=["to_q", "to_k", "to_v", "q_proj"], init_lora_weights=False)
    module.add_adapter(kind, name)


def made(*names: str) -> Any:
    pipeline = sdxl()
    for seed, name in enumerate(names):
        load(pipeline.unet, name, seed, rank=4 + 4 * seed)
    return pipeline


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return made("ink", "oil")


def stock(pipeline: Any, i: int, adapters: dict[str, float]) -> np.ndarray:
    """The picture of diffusers by itself."""
    if adapters:
        pipeline.enable_lora()
        pipeline.set_adapters(list(adapters), list(adapters.values()))
    else:
        pipeline.disable_lora()
    return pictures(pipeline(**sdxl_request(i, 4)).images)


WORN: list[dict[str, float]] = [{}, {"ink": 1.0}, {"oil": 1.0}, {"ink": 0.5}, {"oil": 0.3, "ink": 0.7}]


def test_runs_with_different_adapters_side_by_side_draw_what_diffusers_draws_with_each(pipeline: Any) -> None:
    hub = Hub(pipeline, exact=False)
    runs = [hub.submit(sdxl_request(1, 4), adapters=worn) for worn in WORN]
    finish(hub, *runs)
    expected = [stock(pipeline, 1, worn) for worn in WORN]
    assert max(np.abs(pictures(run.output) - e).max() for run, e in zip(runs, expected, strict=True)) <= 1e-5
    assert min(np.abs(expected[0] - e).max() for e in expected[1:]) > 1e-3
    assert hub.num_merged == 0


def test_runs_with_the_same_adapters_share_passes_and_keep_their_bits(pipeline: Any) -> None:
    hub = Hub(pipeline)
    runs = [hub.submit(sdxl_request(i, 4), adapters={"ink": 0.5} if i < 2 else {}) for i in range(4)]
    finish(hub, *runs)
    assert hub.num_merged == 8
    alone = [run_alone(pipeline, sdxl_request(i, 4), adapters={"ink": 0.5} if i < 2 else None) for i in range(4)]
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_a_run_without_adapters_is_what_it_was_before_any_were_loaded() -> None:
    plain = run_alone(sdxl(), sdxl_request(1, 4))
    hub = Hub(pipeline := sdxl())
    saved = run_alone(pipeline, sdxl_request(1, 4), checkpoint_at=2).checkpoint
    for seed, name in enumerate(("ink", "oil")):
        load(pipeline.unet, name, seed)
    later = [hub.submit(sdxl_request(1, 4)), Hub(pipeline).submit(sdxl_request(1, 4), resume=saved)]
    finish(hub, later[0])
    assert same_pictures(plain, later[0])
    other = Hub(pipeline)
    resumed = other.submit(sdxl_request(1, 4), resume=saved)
    finish(other, resumed)
    assert same_pictures(plain, resumed)


def test_between_turns_the_adapters_are_as_their_owner_left_them(pipeline: Any) -> None:
    pipeline.enable_lora()
    pipeline.set_adapters(["oil"], [0.3])
    before = pictures(pipeline(**sdxl_request(1, 4)).images)
    hub = Hub(pipeline)
    run = hub.submit(sdxl_request(1, 4), adapters={"ink": 1.0, "oil": 0.9})
    hub.turn()
    assert np.array_equal(pictures(pipeline(**sdxl_request(1, 4)).images), before)
    finish(hub, run)
    assert not any(parameter.requires_grad for name, parameter in pipeline.unet.named_parameters() if "lora" in name)


def test_an_adapter_that_is_not_loaded_is_named(pipeline: Any) -> None:
    hub = Hub(pipeline)
    run = hub.submit(sdxl_request(1, 4), adapters={"inc": 1.0})
    assert isinstance(run.error, UnknownAdapter)
    assert "'inc'; loaded are ink, oil" in str(run.error)
    nothing = Hub(sdxl()).submit(sdxl_request(1, 4), adapters={"ink": 1.0})
    assert isinstance(nothing.error, UnknownAdapter)
    assert not hub.turn()


def test_a_checkpoint_goes_on_only_under_the_same_adapters(pipeline: Any) -> None:
    whole = run_alone(pipeline, sdxl_request(1, 5), adapters={"ink": 0.5}, checkpoint_at=2)

    def resumed(pipeline: Any, adapters: dict[str, float]) -> Run:
        hub = Hub(pipeline)
        run = hub.submit(sdxl_request(1, 5), adapters=adapters, resume=whole.checkpoint)
        turn_until_idle(hub)
        return run

    assert same_pictures(whole, resumed(pipeline, {"ink": 0.5}))
    assert same_pictures(whole, resumed(made("ink"), {"ink": 0.5}))
    for pipe, adapters in (
        (pipeline, {"ink": 0.6}),
        (pipeline, {}),
        (pipeline, {"oil": 0.5}),
        (made("x", "ink"), {"ink": 0.5}),
    ):
        assert isinstance(resumed(pipe, adapters).error, FingerprintMismatch)


def test_text_embeddings_under_adapters_are_not_remembered() -> None:
    encoder = CLIPTextModel(
        CLIPTextConfig(vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    ).eval()

    def read() -> torch.Tensor:
        return encoder(input_ids=torch.tensor([[1, 2, 49]])).last_hidden_state

    EmbeddingCache().attach(SimpleNamespace(components={"text_encoder": encoder}))
    with torch.no_grad():
        plain = read()
        load(encoder, "ink", 0)
        assert not torch.equal(read(), plain)
