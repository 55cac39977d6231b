"""The stand-ins at the seam: invisible to the pipeline, and faithful to the run they belong to."""

import copy
import inspect
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    FirstBlockCacheConfig,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    StableDiffusionControlNetPipeline,
)

from mezzotint.engine import Hub
from mezzotint.engine import hub as hub_module
from mezzotint.engine.checkpoint.step_output import takes_only_latents
from mezzotint.engine.numerics import Numerics
from mezzotint.engine.proxy import DenoiserProxy, WatchedStep, borrow, denoisers_of
from tests.conformance.engine.driving import finish, pictures, run_alone, same_pictures
from tests.conformance.engine.zoo import SPECIES, flux, flux_request, sdxl, sdxl_request
from tests.conformance.engine.zoo.classic import BETAS, controlled, controlnet, parts
from tests.conformance.engine.zoo.parts import seeded


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return flux()


def test_a_proxy_passes_for_the_module_it_stands_for(pipeline: Any) -> None:
    real = pipeline.transformer
    twin, _ = borrow(pipeline)
    proxy = twin.transformer
    assert type(proxy) is DenoiserProxy
    assert isinstance(proxy, FluxTransformer2DModel)
    assert proxy.config is real.config
    assert proxy.dtype is torch.float32
    assert next(iter(proxy.parameters())) is next(real.parameters())
    proxy.marked = 1
    assert real.marked == 1
    del real.marked
    assert twin.components["transformer"] is proxy
    assert pipeline.transformer is real


def test_outside_of_a_run_a_proxy_calls_straight_through(pipeline: Any) -> None:
    twin, _ = borrow(pipeline)
    assert (pictures(twin(**flux_request(0, 2))) == pictures(pipeline(**flux_request(0, 2)))).all()


def test_each_kind_of_part_is_found_where_it_is() -> None:
    pipelines = {species.name: species for species in SPECIES}
    found = {
        name: set(denoisers_of(pipelines[name].build()))
        for name in ("StableDiffusionControlNetPipeline", "FluxPipeline", "DDPMPipeline")
    }
    assert found == {
        "StableDiffusionControlNetPipeline": {"unet", "controlnet"},
        "FluxPipeline": {"transformer"},
        "DDPMPipeline": {"unet"},
    }


def test_a_watched_step_has_the_signature_of_the_samplers_own(pipeline: Any) -> None:
    _, (sampler,) = borrow(sdxl())
    assert isinstance(sampler.step, WatchedStep)
    assert type(sampler) is EulerAncestralDiscreteScheduler
    assert "generator" in inspect.signature(sampler.step).parameters
    assert "self" not in inspect.signature(sampler.step).parameters


def test_a_copied_sampler_steps_on_its_own_state() -> None:
    _, (sampler,) = borrow(flux())
    assert isinstance(sampler, FlowMatchEulerDiscreteScheduler)
    sampler.set_timesteps(4)
    twin = copy.deepcopy(sampler)
    state = copy.deepcopy(sampler.__dict__)
    twin.step(torch.ones(1, 2), twin.timesteps[0], torch.ones(1, 2))
    assert (twin.step_index, sampler.step_index) == (1, None)
    sampler.step(torch.ones(1, 2), sampler.timesteps[0], torch.ones(1, 2))
    sampler.__dict__.update(state)
    assert sampler.step_index is None
    sampler.step(torch.ones(1, 2), sampler.timesteps[0], torch.ones(1, 2))
    assert sampler.step_index == 1


def test_a_pipeline_that_copies_its_sampler_in_mid_call_resumes(pipeline: Any) -> None:
    class TwoSamplers(type(pipeline)):  # type: ignore[misc]
        """Every step is made by a copy of the sampler that is taken at the beginning of the call."""

        def __call__(self, **kwargs: Any) -> Any:
            own = self.scheduler
            object.__setattr__(self, "scheduler", copy.deepcopy(own))
            try:
                return super().__call__(**kwargs)
            finally:
                object.__setattr__(self, "scheduler", own)

    two = TwoSamplers(**pipeline.components)
    two.set_progress_bar_config(disable=True)
    whole = run_alone(two, flux_request(0, 5), checkpoint_at=3)
    hub = Hub(two)
    resumed = hub.submit(flux_request(0, 5), resume=whole.checkpoint)
    finish(hub, resumed)
    assert same_pictures(whole, resumed)
    assert resumed.num_calls == 2


def test_a_run_of_two_stages_resumes_within_its_second_with_what_the_first_made(pipeline: Any) -> None:
    class TwoStages(type(pipeline)):  # type: ignore[misc]
        """What one sampler has drawn, another, a copy of it, draws again with more steps."""

        def __call__(self, **kwargs: Any) -> Any:
            first = super().__call__(**kwargs | {"output_type": "latent"}).images
            own = self.scheduler
            object.__setattr__(self, "scheduler", copy.deepcopy(own))
            try:
                return super().__call__(**kwargs | {"prompt_embeds": first.mean() + kwargs["prompt_embeds"]})
            finally:
                object.__setattr__(self, "scheduler", own)

    two = TwoStages(**pipeline.components)
    two.set_progress_bar_config(disable=True)
    for at in (2, 4, 5, 7):
        whole = run_alone(two, flux_request(0, 4), checkpoint_at=at)
        hub = Hub(two)
        resumed = hub.submit(flux_request(0, 4), resume=whole.checkpoint, checkpoint_at=7)
        finish(hub, resumed)
        assert same_pictures(whole, resumed)
        third = Hub(two)
        again = third.submit(flux_request(0, 4), resume=resumed.checkpoint or whole.checkpoint)
        finish(third, again)
        assert same_pictures(whole, again)
        assert resumed.num_calls == 8 - at


def test_runs_with_several_calls_a_step_come_into_phase() -> None:
    made = seeded(
        lambda: StableDiffusionControlNetPipeline(
            **parts(DDIMScheduler(**BETAS, clip_sample=False), controlnet=controlnet())
        )
    )()
    hub, runs = Hub(made), []
    for i in range(3):
        runs.append(hub.submit(controlled(i, 8)))
        hub.turn()
    finish(hub, *runs)
    calls = sum(run.num_calls for run in runs)
    assert calls == 48
    assert hub.num_passes <= 2 * 8 + 8  # in phase from the second step on; out of phase it would be about 40


def test_denoisers_that_keep_state_between_calls_serve_one_run_at_a_time() -> None:
    cached = flux()
    cached.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    alone = [run_alone(cached, flux_request(i, 6)) for i in range(3)]
    hub = Hub(cached)
    runs = [hub.submit(flux_request(i, 6)) for i in range(3)]
    finish(hub, *runs)
    assert hub.num_merged == 0
    assert hub.unmerged_reasons["caching or offloading is on: one run at a time"] > 0
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_an_object_that_a_denoiser_hands_out_is_never_shared(pipeline: Any) -> None:
    """As a cache of keys and values is, whose rows are those of one run."""

    class Cache:
        pass

    handle = pipeline.transformer.register_forward_hook(lambda module, args, output: (*output, Cache()))
    alone = [run_alone(pipeline, flux_request(i, 4)) for i in range(2)]
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 4)) for i in range(2)]
    finish(hub, *runs)
    handle.remove()
    assert hub.num_merged == 0
    assert hub.unmerged_reasons["an output holds an opaque Cache"] > 0
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_passes_of_one_fixed_width_give_the_same_bits_in_every_company(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What exact mode does on accelerators, exercised with the CPU's kernels."""
    fixed = Numerics(device=torch.device("cpu"), dtype=torch.float32, exact=True, fixed_rows=4)
    monkeypatch.setattr(hub_module, "numerics_of", lambda *args, **kwargs: fixed)
    widths: set[int] = set()
    handle = pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: widths.add(kwargs["hidden_states"].shape[0]), with_kwargs=True
    )
    verdicts: dict[str, str] = {}

    def go(*requests: dict[str, Any]) -> list[Any]:
        hub = Hub(pipeline, max_rows=4, verdicts=verdicts)
        runs = [hub.submit(request) for request in requests]
        finish(hub, *runs)
        return runs

    go(flux_request(9, 3))
    widths.clear()
    (alone,) = go(flux_request(0, 4))
    together = go(*[flux_request(i, 4 + i) for i in range(6)])
    handle.remove()
    assert widths == {4}
    assert same_pictures(alone, together[0])
    assert alone.cost_s > 0


def test_a_pipeline_that_differentiates_through_its_denoiser_runs_inline(pipeline: Any) -> None:
    class Guided(type(pipeline)):  # type: ignore[misc]
        """Asks the denoiser for a gradient before every call, as attention-guided editing does."""

        def __call__(self, **kwargs: Any) -> Any:
            with torch.enable_grad():
                sample = torch.ones(1, 4, 16, requires_grad=True)
                output = self.transformer(
                    hidden_states=sample,
                    timestep=torch.ones(1),
                    guidance=torch.ones(1),
                    pooled_projections=kwargs["pooled_prompt_embeds"],
                    encoder_hidden_states=kwargs["prompt_embeds"],
                    txt_ids=torch.zeros(12, 3),
                    img_ids=torch.zeros(4, 3),
                    return_dict=False,
                )[0]
                output.sum().backward()
            assert sample.grad is not None
            return super().__call__(**kwargs)

    guided = Guided(**pipeline.components)
    guided.set_progress_bar_config(disable=True)
    hub = Hub(guided)
    runs = [hub.submit(flux_request(i, 3)) for i in range(2)]
    finish(hub, *runs)
    assert sum(hub.unmerged_reasons.values()) == 2
    assert hub.num_merged > 0
    assert sum(run.cost_s for run in runs) == pytest.approx(hub.pass_s)


def test_what_a_pipeline_takes_of_a_step_is_read_from_its_source() -> None:
    by_name = {species.name: species for species in SPECIES}
    taken = {
        name: takes_only_latents(by_name[name].build())
        for name in ("StableDiffusionPipeline", "FluxPipeline", "DDIMPipeline", "LatentConsistencyModelPipeline")
    }
    assert taken == {
        "StableDiffusionPipeline": True,
        "FluxPipeline": True,
        "DDIMPipeline": True,
        "LatentConsistencyModelPipeline": False,
    }


def test_a_run_tells_the_denoised_estimate_where_the_sampler_gives_one() -> None:
    shapes = []
    run_alone(
        sdxl(),
        sdxl_request(0, 3),
        on_step=lambda run: shapes.append(
            (run.latents.shape, run.denoised.shape, bool((run.latents != run.denoised).any()))
        ),
    )
    assert shapes[0][0] == shapes[0][1]
    assert shapes[0][2]
