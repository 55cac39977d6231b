"""Another sampler for one run: it draws, it leaves the others alone, and its runs share their passes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mezzotint.domain.drawing.sampler import SAMPLERS, find_sampler, list_samplers
from mezzotint.domain.errors import RunFailed
from mezzotint.domain.job import Parameters
from mezzotint.engine import Hub
from mezzotint.engine.models import files, load
from mezzotint.engine.models.describe import describe_model
from mezzotint.engine.samplers import with_sampler
from mezzotint.engine.tasks import Tasks
from tests.making import make_parameters


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return load.load_pipeline(files.locate("starter"), "cpu")


def asked(name: str | None) -> Parameters:
    return replace(make_parameters(num_steps=12), sampler=name)


def drawn(pipeline: Any, *names: str | None) -> tuple[list[NDArray[np.float64]], Hub]:
    hub, tasks = Hub(pipeline), Tasks(pipeline)
    assignments = [tasks.assign(asked(name), None, None) for name in names]
    runs = [hub.submit(one.kwargs, pipeline=one.pipeline) for one in assignments]
    while hub.turn():
        pass
    assert [run.error for run in runs] == [None] * len(runs)
    return [np.asarray(run.output.images[0], float) for run in runs], hub


def test_every_sampler_of_the_starter_model_draws_the_same_apple_in_its_own_way_in_shared_passes(pipeline: Any) -> None:
    names = describe_model(files.locate("starter")).samplers
    assert {"Euler a", "DPM++ 2M", "UniPC", "DDIM"} <= set(names)
    (own, *others), hub = drawn(pipeline, None, *names)
    away = {name: float(np.abs(other - own).mean()) for name, other in zip(names, others, strict=True)}
    assert max(away.values()) < 20, away  # of 255: a red apple; lost samplers are at 80 and more
    assert away["DDIM"] == 0  # the model's own, asked for by name
    assert sum(value > 0.1 for value in away.values()) >= len(names) - 4, away
    assert hub.num_merged >= hub.num_passes * 2 // 3  # the last of an odd number goes alone


def test_a_sampler_of_one_run_leaves_the_model_and_its_other_runs_alone(pipeline: Any) -> None:
    before = pipeline.scheduler
    (alone,), _ = drawn(pipeline, None)
    (beside, _), _ = drawn(pipeline, None, "Euler a")
    assert np.array_equal(alone, beside)
    assert pipeline.scheduler is before
    assert type(pipeline.components["scheduler"]) is type(before)


def test_an_unknown_sampler_is_a_fault_of_the_run(pipeline: Any) -> None:
    with pytest.raises(RunFailed, match="no sampler"):
        with_sampler(pipeline, "DPM++ 9Z")


def test_names_are_found_in_any_case_and_by_alias() -> None:
    assert find_sampler("euler A") is find_sampler("k_euler_a") is not None
    assert find_sampler("nonsense") is None


def test_a_model_whose_sampler_has_no_equals_takes_none() -> None:
    assert list_samplers("FlowMatchEulerDiscreteScheduler", "None") == ()
    assert len(list_samplers("PNDMScheduler", "scaled_linear")) == len(SAMPLERS)
    assert "DPM++ 2M Karras" not in list_samplers("DDIMScheduler", "squaredcos_cap_v2")


@pytest.mark.parametrize("beta_schedule", ["scaled_linear", "squaredcos_cap_v2"])
def test_every_sampler_that_is_offered_takes_every_number_of_steps(beta_schedule: str) -> None:
    import diffusers

    own = diffusers.DDIMScheduler(beta_schedule=beta_schedule, timestep_spacing="trailing").config
    for name in list_samplers("DDIMScheduler", beta_schedule):
        sampler = find_sampler(name)
        assert sampler is not None
        for num_steps in (4, 30, 80):
            made = getattr(diffusers, sampler.scheduler).from_config(own, **dict(sampler.settings))
            made.set_timesteps(num_steps)
            assert len(made.timesteps) == num_steps, name
            if "Euler" not in name:  # these look their first step up by its timestep: shared, all run one step late
                assert made.timesteps[0] != made.timesteps[1], (name, num_steps)


def test_a_schedule_takes_the_place_of_the_models_own() -> None:
    import diffusers

    own = diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", use_karras_sigmas=True).config
    sampler = find_sampler("Euler Exponential")
    assert sampler is not None
    made = diffusers.EulerDiscreteScheduler.from_config(own, **dict(sampler.settings))
    assert (made.config.use_karras_sigmas, made.config.use_exponential_sigmas) == (False, True)
