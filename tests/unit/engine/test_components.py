"""Faults of a device in text encoders and autoencoders, injected: memory that runs out, NaN, casts never undone."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline

from mezzotint.domain.errors import NotFinite, OutOfMemory
from mezzotint.engine import Hub
from mezzotint.engine.components import NARROW_TILE_PX, TILED_ABOVE_PX, Components, Part
from mezzotint.engine.numerics import Numerics
from mezzotint.engine.proxy import ComponentCall, ComponentProxy, is_component
from tests.conformance.engine.driving import finish, run_alone, same_pictures, turn_until_idle
from tests.conformance.engine.zoo import sdxl, sdxl_request
from tests.conformance.engine.zoo.parts import classic_vae, seeded
from tests.conformance.engine.zoo.xl import BETAS, image_to_image, parts

MEMORY_ERRORS = [
    pytest.param(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), id="cuda"),
    pytest.param(MemoryError(), id="host"),
    pytest.param(RuntimeError("DefaultCPUAllocator: can't allocate memory"), id="cpu"),
]


@pytest.fixture
def pipeline() -> Any:
    return sdxl()


def failing(real: Callable[..., Any], *errors: Exception) -> Callable[..., Any]:
    """The method, which raises these errors first, each with a tensor of the failed call in its frame."""
    left = list(errors)

    def method(*args: Any, **kwargs: Any) -> Any:
        activations = torch.ones(64)
        assert all(alive() is None for alive in method.activations), "the failed call's tensors are still there"
        if left:
            method.activations.append(weakref.ref(activations))
            raise left.pop(0)
        del activations
        return real(*args, **kwargs)

    method.activations = []
    return method


@pytest.mark.parametrize("error", MEMORY_ERRORS)
def test_a_decode_that_runs_out_of_memory_is_made_again_once_memory_was_freed(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    alone = run_alone(pipeline, sdxl_request(0, 2))
    monkeypatch.setattr(pipeline.vae, "decode", failing(pipeline.vae.decode, error))
    hub, freed = Hub(pipeline), []
    hub.components.evict_idle = lambda: freed.append("idle models")
    run = hub.submit(sdxl_request(0, 2))
    finish(hub, run)
    assert freed == ["idle models"]
    assert same_pictures(alone, run)


@pytest.mark.parametrize("num_runs", [1, 2, 4, 8])
def test_a_decode_without_memory_twice_fails_its_run_alone_and_says_what_fits(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch, num_runs: int
) -> None:
    alone = [run_alone(pipeline, sdxl_request(i, 2)) for i in range(1, num_runs)]
    hub = Hub(pipeline)
    hub.components._largest_px[Part.DECODE] = 16 * 16
    monkeypatch.setattr(pipeline.vae, "decode", failing(pipeline.vae.decode, MemoryError(), MemoryError()))
    failed, *runs = [hub.submit(sdxl_request(i, 2)) for i in range(num_runs)]
    finish(hub, *runs)
    assert isinstance(failed.error, OutOfMemory)
    assert str(failed.error) == (
        "The device's memory ran out while the picture was decoded at 1,024 pixels; 256 fitted before."
    )
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


@pytest.mark.parametrize("times", [1, 2])
def test_a_source_that_cannot_be_encoded_for_want_of_memory_is_encoded_again_once(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    build = seeded(
        lambda: StableDiffusionXLImg2ImgPipeline(
            **parts(EulerDiscreteScheduler(**BETAS)), requires_aesthetics_score=False
        )
    )
    pipeline = build()
    alone = run_alone(pipeline, image_to_image(0, 4))
    monkeypatch.setattr(pipeline.vae, "encode", failing(pipeline.vae.encode, *[MemoryError()] * times))
    hub = Hub(pipeline)
    run = hub.submit(image_to_image(0, 4))
    turn_until_idle(hub)
    if times == 1:
        assert same_pictures(alone, run)
    else:
        assert isinstance(run.error, OutOfMemory)
        assert "while the given picture was encoded" in str(run.error)


def test_a_text_encoder_that_runs_out_of_memory_reads_the_prompt_again_once() -> None:
    components = Components(sdxl(), Numerics(device=torch.device("cpu"), dtype=torch.float32, exact=True))
    encoder, ids = torch.nn.Embedding(8, 4), torch.tensor([[1, 2]])
    proxy: Any = ComponentProxy(encoder)
    expected = proxy(ids)
    encoder.forward = failing(encoder.forward, MemoryError())  # type: ignore[method-assign]
    assert torch.equal(components.call(ComponentCall(encoder, "forward", (ids,), {})), expected)
    encoder.forward = failing(encoder.forward, MemoryError(), MemoryError())  # type: ignore[method-assign]
    with pytest.raises(OutOfMemory, match="while the prompt was read"):
        components.call(ComponentCall(encoder, "forward", (ids,), {}))


def test_memory_that_runs_out_elsewhere_in_a_run_is_freed_and_named(pipeline: Any) -> None:
    hub, freed = Hub(pipeline), []
    hub.components.evict_idle = lambda: freed.append("idle models")

    def run_out(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    run = hub.submit(sdxl_request(0, 2) | {"callback_on_step_end": run_out})
    turn_until_idle(hub)
    assert isinstance(run.error, OutOfMemory)
    assert freed == ["idle models"]


def test_nan_out_of_the_decoder_is_an_error_and_never_a_black_picture(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pipeline.vae.decode
    spoilt = iter([True, False])

    def decode(*args: Any, **kwargs: Any) -> Any:
        (picture,) = real(*args, **kwargs)
        return (picture * float("nan"),) if next(spoilt) else (picture,)

    monkeypatch.setattr(pipeline.vae, "decode", decode)
    hub = Hub(pipeline)
    request = {"output_type": "pil"}
    poisoned, run = hub.submit(sdxl_request(0, 2) | request), hub.submit(sdxl_request(1, 2) | request)
    finish(hub, run)
    assert isinstance(poisoned.error, NotFinite)
    assert poisoned.output is None


def test_a_decode_that_fails_between_two_casts_leaves_the_next_run_the_vae_as_it_was_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = sdxl().to(torch.float16)
    pipeline.vae.register_to_config(force_upcast=True)
    before = {name: tensor.clone() for name, tensor in pipeline.vae.state_dict().items()}

    def half(i: int) -> dict[str, Any]:
        request = sdxl_request(i, 1)
        return {k: v.half() if isinstance(v, torch.Tensor) else v for k, v in request.items()}

    monkeypatch.setattr(pipeline.vae, "decode", failing(pipeline.vae.decode, ValueError("broken on purpose")))
    hub = Hub(pipeline, exact=False)
    broken = hub.submit(half(0))
    turn_until_idle(hub)
    assert isinstance(broken.error, ValueError)
    assert all(torch.equal(tensor, before[name]) for name, tensor in pipeline.vae.state_dict().items())
    assert pipeline.vae.dtype is torch.float16
    finish(hub, hub.submit(half(1)))


def test_a_vae_that_was_loaded_in_float32_stays_so_beside_a_narrower_denoiser() -> None:
    pipeline = sdxl()
    pipeline.vae.register_to_config(force_upcast=True)
    weights = {name: tensor.clone() for name, tensor in pipeline.vae.state_dict().items()}
    proxy: Any = ComponentProxy(pipeline.vae)
    proxy.to(torch.float16)
    proxy.to(dtype=torch.bfloat16)
    latents = torch.zeros(1, 4, 8, 8, dtype=torch.float16)
    assert proxy.decode(latents, return_dict=False)[0].dtype is torch.float32
    encoded = proxy.encode(torch.zeros(1, 3, 16, 16, dtype=torch.float16)).latent_dist
    assert (encoded.mode().dtype, encoded.sample().dtype) == (torch.float16, torch.float16)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in pipeline.vae.state_dict().items())


def test_text_and_image_encoders_and_autoencoders_are_components_and_denoisers_are_none() -> None:
    pipeline = sdxl()
    module = torch.nn.Linear(1, 1)
    assert is_component("vae", pipeline.vae)
    assert all(is_component(name, module) for name in ("text_encoder", "text_encoder_2", "image_encoder"))
    assert not is_component("unet", pipeline.unet)
    assert not is_component("text_encoder", None)


@pytest.fixture
def beyond_the_cpu() -> Numerics:
    """A device that has memory of its own; nothing of it is touched here."""
    return Numerics(device=torch.device("meta"), dtype=torch.float32, exact=True)


def tiles_of(components: Components, side_px: int, errors: int = 0) -> list[tuple[bool, int]]:
    """Whether each try of a decode worked tile by tile, and the tiles' side in pixels."""
    vae = classic_vae()
    vae.tile_sample_min_size, vae.tile_latent_min_size = 1024, 512
    tried = []

    def decode(latents: torch.Tensor) -> torch.Tensor:
        tried.append((vae.use_tiling, vae.tile_sample_min_size))
        assert vae.tile_sample_min_size == 2 * vae.tile_latent_min_size
        if len(tried) <= errors:
            raise MemoryError
        return torch.zeros(1)

    vae.decode = decode  # type: ignore[assignment]
    latents = torch.empty(1, 4, side_px // 2, side_px // 2, device="meta")
    components.call(ComponentCall(vae, "decode", (latents,), {}))
    assert (vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size) == (False, 1024, 512)
    return tried


def test_exact_mode_decodes_in_tiles_by_size_alone_whatever_memory_was_free(beyond_the_cpu: Numerics) -> None:
    components = Components(sdxl(), beyond_the_cpu)
    small, large = 1024, 2048
    assert small**2 <= TILED_ABOVE_PX < large**2
    assert tiles_of(components, small, errors=1) == [(False, 1024)] * 2
    assert tiles_of(components, large, errors=1) == [(True, 1024)] * 2


def test_fast_mode_answers_lack_of_memory_by_smaller_tiles(beyond_the_cpu: Numerics) -> None:
    components = Components(sdxl(), replace(beyond_the_cpu, exact=False))
    assert tiles_of(components, 1024, errors=1) == [(False, 1024), (True, NARROW_TILE_PX)]
    assert tiles_of(components, 2048, errors=1) == [(True, 1024), (True, NARROW_TILE_PX)]
