"""Ending a run early: the picture is the estimate of the last real step, and what comes after costs nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import PNDMScheduler
from numpy.typing import NDArray
from PIL import Image

from mezzotint.domain.drawing.sampler import ESTIMATING
from mezzotint.domain.errors import RunFailed
from mezzotint.domain.ids import Sha256
from mezzotint.domain.task import Task
from mezzotint.engine import Hub, Run
from mezzotint.engine.models import files, load
from mezzotint.engine.samplers import with_sampler
from mezzotint.engine.tasks import Tasks
from tests.conformance.engine.driving import finish, run_alone
from tests.conformance.engine.zoo import SPECIES
from tests.making import make_parameters

STEPS, STOP = 12, 5


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    return Tasks(load.load_pipeline(files.locate("starter"), "cpu"))


def submit(hub: Hub, tasks: Tasks, sampler: str | None, **options: Any) -> Run:
    parameters = replace(make_parameters(num_steps=STEPS), sampler=sampler)
    assigned = tasks.assign(parameters, None, None)
    return hub.submit(assigned.kwargs, pipeline=assigned.pipeline, **options)


def pixels(run: Run) -> NDArray[np.float64]:
    return np.asarray(run.output.images[0], float)


@pytest.mark.parametrize("sampler", [None, "Euler a", "DPM++ 2M", "UniPC"])
def test_a_stopped_run_makes_so_many_steps_and_shows_what_it_expected(tasks: Tasks, sampler: str | None) -> None:
    hub = Hub(tasks.pipeline)
    whole, stopped = submit(hub, tasks, sampler), submit(hub, tasks, sampler, stop_after=STOP)
    finish(hub, whole, stopped)
    assert (stopped.steps, stopped.num_steps, stopped.num_calls) == (STOP, STOP, STOP)
    assert whole.num_calls == STEPS
    assert stopped.denoised is not None
    vae = tasks.pipeline.vae
    with torch.no_grad():
        decoded = vae.decode(stopped.denoised / vae.config.scaling_factor, return_dict=False)[0][0]
    levels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(pixels(stopped) - levels).max() <= 1
    assert 0 < np.abs(pixels(stopped) - pixels(whole)).mean() < 60
    alone = submit(hub, tasks, sampler)
    finish(hub, alone)
    assert np.array_equal(pixels(alone), pixels(whole))


def test_the_later_it_stops_the_nearer_it_is_to_the_whole(tasks: Tasks) -> None:
    hub = Hub(tasks.pipeline)
    whole = submit(hub, tasks, None)
    parts = [submit(hub, tasks, None, stop_after=after) for after in (3, 6, 11, STEPS, STEPS + 1)]
    finish(hub, whole, *parts)
    away = [np.abs(pixels(part) - pixels(whole)).mean() for part in parts]
    assert away[0] > away[1] > away[2] > away[3] == away[4] == 0, away


def test_a_stopped_run_goes_on_from_a_checkpoint_to_the_same_picture(tasks: Tasks) -> None:
    hub = Hub(tasks.pipeline)
    saved: list[int] = []
    first = submit(
        hub, tasks, None, stop_after=STOP, checkpoint_every=2, on_checkpoint=lambda run, kept: saved.append(kept.steps)
    )
    finish(hub, first)
    assert saved == [2, 4], "not at its end: the picture is quicker"
    resumed = submit(hub, tasks, None, stop_after=STOP, resume=first.checkpoint)
    finish(hub, resumed)
    assert (resumed.num_calls, resumed.num_replayed) == (STOP - 4, 4)
    assert np.array_equal(pixels(first), pixels(resumed))


def test_a_stopped_inpaint_keeps_what_the_mask_leaves_black(tasks: Tasks) -> None:
    hub = Hub(tasks.pipeline)
    source, mask = Image.new("RGB", (64, 64), "green"), Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    parameters = replace(
        make_parameters(num_steps=STEPS),
        task=Task.INPAINT,
        source=Sha256("a" * 64),
        mask=Sha256("b" * 64),
        strength=1.0,
    )
    assigned = tasks.assign(parameters, source, mask)
    run = hub.submit(assigned.kwargs, pipeline=assigned.pipeline, stop_after=STOP)
    finish(hub, run)
    after = np.asarray(assigned.finish(run.output.images[0]))
    assert np.array_equal(after[:, :32], np.asarray(source)[:, :32])
    assert not np.array_equal(after[:, 32:], np.asarray(source)[:, 32:])
    assert run.num_calls == STOP


@pytest.mark.parametrize("name", ["FluxPipeline", "StableDiffusion3Pipeline"])
def test_packed_latents_and_flows_end_early_too(name: str) -> None:
    species = next(one for one in SPECIES if one.name == name)
    pipeline = species.build()
    per_step = run_alone(pipeline, species.request(0, 1)).num_calls
    near, far = (run_alone(pipeline, species.request(0, 6), stop_after=after) for after in (5, 2))
    assert (near.num_calls, far.num_calls) == (5 * per_step, 2 * per_step)
    assert far.latents is not None
    assert torch.isfinite(far.latents).all()


def test_a_sampler_that_cannot_tell_fails_the_run_by_name(tasks: Tasks) -> None:
    twin = with_sampler(tasks.pipeline, "DDIM")
    object.__setattr__(twin, "scheduler", PNDMScheduler.from_config(tasks.pipeline.scheduler.config))
    hub = Hub(tasks.pipeline)
    run = hub.submit(tasks.assign(make_parameters(num_steps=STEPS), None, None).kwargs, pipeline=twin, stop_after=STOP)
    while hub.turn():
        pass
    assert isinstance(run.error, RunFailed)
    assert "PNDMScheduler" in str(run.error)
    assert "PNDMScheduler" not in ESTIMATING
