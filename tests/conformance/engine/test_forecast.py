"""Runs that foretell steps keep the engine's laws: the same bits in any company, and resumed at every step."""

from typing import Any

import pytest

from mezzotint.engine import ForecastSettings, Hub, Run, Snapshot
from tests.conformance.engine.driving import finish, run_alone, same_pictures
from tests.conformance.engine.test_samplers import SAMPLERS
from tests.conformance.engine.zoo import SPECIES, Species
from tests.conformance.engine.zoo.classic import text_to_image

CLASSES = {
    "StableDiffusionXLPipeline",
    "StableDiffusionControlNetPipeline",  # two denoisers
    "CogView4Pipeline",  # two calls a step
    "ZImagePipeline",  # answers in lists
    "StableDiffusionInstructPix2PixPipeline",  # more channels than the answer has
}
EVERY = [*SAMPLERS, *(species for species in SPECIES if species.name in CLASSES)]
FORECAST = ForecastSettings(bound=1e4)  # random weights answer wildly
STEPS = 9


@pytest.mark.parametrize("species", EVERY, ids=lambda species: species.name)
def test_a_run_with_foretold_steps_is_the_same_in_company_and_resumed_at_every_step(species: Species) -> None:
    pipeline, kept = species.build(), []

    def keep(run: Run, snapshot: Snapshot) -> None:
        kept.append(snapshot.encode())

    request = species.request(0, STEPS)
    alone = run_alone(pipeline, request, forecast=FORECAST, checkpoint_every=1, on_checkpoint=keep)
    assert alone.num_forecast >= 2
    assert len(kept) == alone.steps
    hub = Hub(pipeline)
    fresh = hub.submit(request, forecast=FORECAST)
    hub.turn()
    others = [hub.submit(species.request(1, 5)), hub.submit(species.request(2, 8), forecast=FORECAST)]
    resumed = [hub.submit(request, forecast=FORECAST, resume=checkpoint) for checkpoint in kept]
    finish(hub, fresh, *others, *resumed)
    assert hub.num_merged > 0
    assert [same_pictures(alone, run) for run in (fresh, *resumed)] == [True] * (1 + len(kept))
    counts = [(run.num_passes, run.num_forecast) for run in (fresh, *resumed)]
    assert counts == [(alone.num_passes, alone.num_forecast)] * len(counts)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return SAMPLERS[0].build()


def test_what_a_run_foretells_is_told_apart_and_costs_no_pass(pipeline: Any) -> None:
    hub = Hub(pipeline)
    run = hub.submit(text_to_image(0, STEPS), forecast=FORECAST)
    finish(hub, run)
    every = run_alone(pipeline, text_to_image(0, STEPS))
    assert (every.num_passes, every.num_forecast) == (STEPS, 0)
    assert run.num_passes + run.num_forecast == run.steps == STEPS
    assert run.num_passes == run.num_calls == hub.num_passes < STEPS
    assert not same_pictures(run, every)


def test_a_bound_that_is_never_met_leaves_every_bit_as_it_is(pipeline: Any) -> None:
    run = run_alone(pipeline, text_to_image(0, STEPS), forecast=ForecastSettings(bound=1e-9))
    assert run.num_forecast == 0
    assert same_pictures(run, run_alone(pipeline, text_to_image(0, STEPS)))


def test_each_run_decides_by_its_own_answers_in_any_company(pipeline: Any) -> None:
    hub = Hub(pipeline)
    bounds = (0.01, 0.1, 0.3, 1.0)
    together = [hub.submit(text_to_image(i, 12), forecast=ForecastSettings(bound=b)) for i, b in enumerate(bounds)]
    finish(hub, *together)
    for i, (bound, run) in enumerate(zip(bounds, together, strict=True)):
        alone = run_alone(pipeline, text_to_image(i, 12), forecast=ForecastSettings(bound=bound))
        assert (run.num_passes, same_pictures(alone, run)) == (alone.num_passes, True)
    assert len({run.num_passes for run in together}) > 1


def test_first_and_last_steps_take_passes_and_rows_are_short(pipeline: Any) -> None:
    passes: list[int] = []
    hub = Hub(pipeline)
    settings = ForecastSettings(bound=1e9, max_in_row=2, first_steps=4, last_steps=3)
    run = hub.submit(text_to_image(0, 12), forecast=settings, on_step=lambda run: passes.append(run.num_passes))
    finish(hub, run)
    made = [after - before for before, after in zip([0, *passes], passes, strict=False)]
    assert made == [1, 1, 1, 1, 0, 0, 1, 0, 0, 1, 1, 1]
    stopped = run_alone(pipeline, text_to_image(0, 12), forecast=settings, stop_after=8)
    assert stopped.num_passes == 7  # the last before the stop are real ones, too


def test_a_checkpoint_goes_on_under_the_settings_it_was_made_with_alone(pipeline: Any) -> None:
    run = run_alone(pipeline, text_to_image(0, STEPS), forecast=FORECAST, checkpoint_at=6)
    for other in (None, ForecastSettings(bound=4.0)):
        hub = Hub(pipeline)
        resumed = hub.submit(text_to_image(0, STEPS), forecast=other, resume=run.checkpoint)
        assert "forecast" in str(resumed.error)
        assert resumed.num_calls == 0


@pytest.mark.parametrize(
    ("value", "is_foretold"), [(1.0, True), (float("nan"), False), (float("inf"), False), (3e38, False)], ids=str
)
def test_an_answer_that_is_no_number_or_might_overflow_is_not_extrapolated(value: float, is_foretold: bool) -> None:
    """PixArt's denoiser answers with channels that its pipeline drops: the picture is finite whatever is in them."""
    species = next(species for species in SPECIES if species.name == "PixArtSigmaPipeline")
    pipeline = species.build()

    def spoil(module: Any, args: Any, output: Any) -> Any:
        output[0][:, -1] = value
        return output

    pipeline.transformer.register_forward_hook(spoil)
    run = run_alone(pipeline, species.request(0, STEPS), forecast=ForecastSettings(bound=1e9))
    assert (run.num_forecast > 0) is is_foretold


def test_a_pass_makes_good_what_foretold_steps_before_it_missed() -> None:
    """Answers on a parabola over time add up to the same, whether they are computed or foretold and made good."""
    pipeline = SAMPLERS[-1].build()  # of flow matching: it adds up answers times the lengths of the steps

    def answer(module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        time = kwargs["timestep"].reshape(-1, 1, 1, 1) / 1000
        return (time.square().expand_as(output[0]).clone(), *output[1:])

    pipeline.transformer.register_forward_hook(answer, with_kwargs=True)
    request = SAMPLERS[-1].request(0, 14) | {"output_type": "latent"}
    every = run_alone(pipeline, request)
    run = run_alone(pipeline, request, forecast=ForecastSettings(bound=1e9))
    assert run.num_forecast >= 6
    assert float((run.output.images - every.output.images).abs().max()) < 1e-5


def test_the_tensors_that_forecasts_keep_are_counted(pipeline: Any) -> None:
    def held(forecast: ForecastSettings | None) -> int:
        found: list[int] = []
        run_alone(
            pipeline, text_to_image(0, STEPS), forecast=forecast, on_step=lambda run: found.append(run.held_bytes)
        )
        return found[5]

    answer = 2 * 4 * 16 * 16 * 4
    assert 2 * answer <= held(FORECAST) - held(None) <= 2 * answer + 64
