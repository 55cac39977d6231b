"""Styles of every format act as diffusers' own fused weights do, for the runs that name them and no others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint.engine import Hub
from tests.conformance.engine.driving import finish, pictures, run_alone, same_pictures
from tests.conformance.engine.zoo.xl import sdxl, sdxl_request
from tests.styles import ALPHA, RANK, make_factors, write_style

OWN_FORMATS = {"diffusers": 1.0, "peft": 1.0, "kohya": ALPHA / RANK, "automatic1111": ALPHA / RANK}
"""Formats that diffusers reads by itself -> what it multiplies by."""
FORMATS = OWN_FORMATS | {"denoiser alone": 1.0, "peft folder": ALPHA / RANK}
WEIGHT = 0.7


def merge_layers(unet: Any) -> dict[str, torch.Tensor]:
    """The weights of each layer with the adapters that are active there."""
    return {
        name: (layer.base_layer.weight + layer.get_delta_weight("ink")).detach()
        for name, layer in unet.named_modules()
        if hasattr(layer, "get_delta_weight")
    }


@pytest.mark.parametrize("format", FORMATS)
def test_a_style_of_each_format_is_what_diffusers_fuses(tmp_path: Path, format: str) -> None:
    ours, fused = sdxl(), sdxl()
    factors = make_factors(ours.unet)
    plain = {name: fused.unet.get_submodule(name).weight.detach().clone() for name in factors}
    path = write_style(tmp_path / "ink.safetensors", factors, format)
    hub = Hub(ours)
    assert hub.loras.load("ink", path) == sum(4 * (down.numel() + up.numel()) for down, up in factors.values())
    hub.loras.apply(hub.loras.select({"ink": WEIGHT}))
    merged = merge_layers(ours.unet)
    hub.loras.restore()
    assert set(merged) == set(factors)
    if format in OWN_FORMATS:
        fused.load_lora_weights(str(path))
        fused.fuse_lora(lora_scale=WEIGHT)
        expected = {name: fused.unet.get_submodule(name).base_layer.weight.detach() for name in factors}
    else:
        scale = WEIGHT * FORMATS[format]
        expected = {name: plain[name] + scale * (up @ down) for name, (down, up) in factors.items()}
    assert max(float((merged[name] - expected[name]).abs().max()) for name in factors) < 1e-6
    assert min(float((merged[name] - plain[name]).abs().max()) for name in factors) > 0.05


def test_styles_of_one_batch_keep_their_bits_and_go_on_from_every_step(tmp_path: Path) -> None:
    pipeline = sdxl()
    plain = run_alone(pipeline, sdxl_request(1, 4))
    hub = Hub(pipeline)
    for seed, name in enumerate(("ink", "oil")):
        factors = make_factors(sdxl().unet, seed)
        hub.loras.load(name, write_style(tmp_path / f"{name}.safetensors", factors, "kohya" if seed else "diffusers"))
    chosen: list[dict[str, float]] = [{"ink": 1.0}, {"oil": 0.5}, {}, {"ink": 1.0}, {"ink": 0.4, "oil": 0.6}]
    alone = [run_alone(pipeline, sdxl_request(1, 4), adapters=one) for one in chosen]
    together = [hub.submit(sdxl_request(1, 4), adapters=one, checkpoint_every=1) for one in chosen]
    saved: dict[int, list[bytes]] = {run.id: [] for run in together}
    while hub.turn():
        for run in together:
            if run.checkpoint and run.checkpoint not in saved[run.id]:
                saved[run.id].append(run.checkpoint)
    finish(hub, *together)
    assert all(same_pictures(a, b) for a, b in zip(alone, together, strict=True))
    assert same_pictures(alone[2], plain)
    assert min(np.abs(pictures(alone[i].output) - pictures(plain.output)).max() for i in (0, 1, 4)) > 1e-3
    assert hub.num_merged >= 4, "runs with equal styles share passes"
    for one, run in zip(chosen[:2], together[:2], strict=True):
        assert len(saved[run.id]) >= 3
        again = Hub(pipeline)
        resumed = [again.submit(sdxl_request(1, 4), adapters=one, resume=data) for data in saved[run.id]]
        finish(again, *resumed)
        assert all(same_pictures(run, other) for other in resumed)


def test_a_style_that_was_dropped_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    pipeline = sdxl()
    plain = run_alone(pipeline, sdxl_request(1, 3))
    hub = Hub(pipeline)
    path = write_style(tmp_path / "ink.safetensors", make_factors(pipeline.unet))
    for _ in range(2):
        hub.loras.load("ink", path)
        run = hub.submit(sdxl_request(1, 3), adapters={"ink": 1.0})
        assert hub.adapters_in_use == {"ink"}
        finish(hub, run)
        assert not hub.adapters_in_use
        assert not same_pictures(run, plain)
        hub.loras.drop("ink")
        assert not any("lora" in name for name, _ in pipeline.unet.named_parameters())
        after = hub.submit(sdxl_request(1, 3))
        finish(hub, after)
        assert same_pictures(after, plain)
