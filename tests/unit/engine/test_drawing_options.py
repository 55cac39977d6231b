"""Eta, guidance rescale and clip skip reach the picture as diffusers computes them, exact in company and resumed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint.engine import Hub, Tasks
from mezzotint.engine.forecasting.clean import adds_noise
from mezzotint.engine.models.weighted_prompts import weigh_words
from mezzotint.engine.request import call_kwargs
from tests.conformance.engine.driving import finish, same_pictures
from tests.conformance.engine.zoo.parts import seeded
from tests.making import make_parameters
from tests.unit.engine.models.tiny_families import sd, sdxl

PLAIN = replace(make_parameters(num_steps=4, width=32, height=32), prompt="a red cat", negative_prompt="blue")


@pytest.fixture(scope="module")
def stock() -> Any:
    return seeded(sd)()


@pytest.mark.parametrize(
    "options", [{"eta": 0.6}, {"guidance_rescale": 0.7}, {"eta": 1.0, "guidance_rescale": 1.0}], ids=str
)
def test_a_run_has_the_stock_calls_picture_in_company_and_resumed_at_every_step(
    stock: Any, options: dict[str, float]
) -> None:
    asked = replace(PLAIN, **options)  # type: ignore[arg-type]
    expected = np.asarray(stock(**call_kwargs(stock, asked)).images[0], float)
    assert np.abs(np.asarray(stock(**call_kwargs(stock, PLAIN)).images[0], float) - expected).max() > 0
    tasks, hub = Tasks(stock), Hub(stock)
    assigned = tasks.assign(asked, None, None)
    stock_again = assigned.pipeline(**tasks.assign(asked, None, None).kwargs).images[0]
    assert np.array_equal(np.asarray(stock_again, float), expected)
    hub_alone = Hub(stock)
    alone = hub_alone.submit(assigned.kwargs, pipeline=assigned.pipeline)
    finish(hub_alone, alone)
    together = [
        hub.submit(one.kwargs, pipeline=one.pipeline, checkpoint_at=step)
        for step in (1, 2, 3)
        for one in [tasks.assign(asked, None, None)]
    ]
    beside = tasks.assign(PLAIN, None, None)
    finish(hub, *together, hub.submit(beside.kwargs, pipeline=beside.pipeline))
    assert hub.num_merged > 0
    for run in together:
        assert same_pictures(run, alone)
        resumed = Hub(stock)
        again = resumed.submit(assigned.kwargs, pipeline=assigned.pipeline, resume=run.checkpoint)
        finish(resumed, again)
        assert same_pictures(again, alone)


def test_a_sampler_with_eta_counts_as_one_that_adds_noise_and_leaves_the_models_alone(stock: Any) -> None:
    tasks = Tasks(stock)
    noisy = tasks.assign(replace(PLAIN, eta=0.5), None, None).pipeline
    assert adds_noise(noisy.scheduler)
    assert not adds_noise(stock.scheduler)
    assert tasks.assign(PLAIN, None, None).pipeline is stock


@torch.no_grad()
def test_clip_skip_counts_layers_from_the_end_for_both_texts(stock: Any) -> None:
    weighing = weigh_words(seeded(sd)())
    usual = weighing.encode_prompt("a red cat", "cpu", 1, True, "blue")
    kwargs = call_kwargs(weighing, replace(PLAIN, clip_skip=2))
    assert kwargs["clip_skip"] == 1
    assert "clip_skip" not in call_kwargs(weighing, replace(PLAIN, clip_skip=1))
    skipped = weighing.encode_prompt("a red cat", "cpu", 1, True, "blue", clip_skip=1)
    encoder = weighing.text_encoder
    for found, other, text in zip(skipped, usual, ("a red cat", "blue"), strict=True):
        numbers = weighing.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
        state = encoder(numbers, output_hidden_states=True).hidden_states[-2]
        expected = getattr(encoder, "text_model", encoder).final_layer_norm(state)
        assert torch.equal(found, expected)
        assert not torch.equal(found, other)


def test_xl_reads_the_last_layer_but_one_for_a_clip_skip_of_one_and_of_two() -> None:
    pipeline = seeded(sdxl)()
    assert "clip_skip" not in call_kwargs(pipeline, replace(PLAIN, clip_skip=2))
    assert call_kwargs(pipeline, replace(PLAIN, clip_skip=3))["clip_skip"] == 1
