"""What one run sets on the thread is gone when another runs."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint.engine import Hub
from tests.conformance.engine.driving import finish, run_alone, same_pictures
from tests.conformance.engine.zoo import flux, flux_request, sdxl, sdxl_request


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return flux()


def without_generator(i: int, num_steps: int) -> dict[str, Any]:
    return {key: value for key, value in flux_request(i, num_steps).items() if key != "generator"}


def drawing(step: Any) -> Any:
    """A callback that draws from all global streams and keeps what it drew."""
    drawn: list[float] = step

    def callback(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        drawn.extend([float(torch.rand(1)), float(np.random.random()), random.random()])
        return {}

    return callback


def test_runs_without_generators_draw_what_they_draw_alone(pipeline: Any) -> None:
    def seed(i: int) -> None:
        torch.manual_seed(i)
        np.random.seed(i)
        random.seed(i)

    expected: list[list[float]] = [[], [], []]
    alone = []
    for i in range(3):
        seed(i)
        alone.append(run_alone(pipeline, without_generator(i, 4) | {"callback_on_step_end": drawing(expected[i])}))
    drawn: list[list[float]] = [[], [], []]
    hub, runs = Hub(pipeline), []
    for i in range(3):
        seed(i)
        runs.append(hub.submit(without_generator(i, 4) | {"callback_on_step_end": drawing(drawn[i])}))
        hub.turn()
    finish(hub, *runs)
    assert drawn == expected
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_two_runs_without_generators_get_different_noise(pipeline: Any) -> None:
    torch.manual_seed(0)
    hub = Hub(pipeline)
    runs = [hub.submit(without_generator(0, 2)) for _ in range(2)]
    finish(hub, *runs)
    assert not same_pictures(*runs)


def test_a_run_without_a_generator_resumes_with_the_noise_it_began_with() -> None:
    pipeline = sdxl()  # its sampler draws noise at every step
    request = {key: value for key, value in sdxl_request(0, 5).items() if key != "generator"}
    torch.manual_seed(5)
    whole = run_alone(pipeline, request, checkpoint_at=2)
    torch.manual_seed(99)
    hub = Hub(pipeline)
    resumed = hub.submit(request, resume=whole.checkpoint)
    finish(hub, resumed)
    assert same_pictures(whole, resumed)


def test_a_run_that_first_draws_after_its_checkpoint_resumes_with_the_same_draws(pipeline: Any) -> None:
    def late(draws: list[float]) -> Any:
        def callback(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            if i < 3:
                return {}
            draws.append(float(torch.rand(1)))
            return {"latents": kwargs["latents"] + draws[-1]}

        return callback

    drawn: list[list[float]] = [[], []]
    for i in range(3):  # the stream stands anywhere but at its beginning
        torch.rand(i + 1)
    whole = run_alone(pipeline, flux_request(0, 5) | {"callback_on_step_end": late(drawn[0])}, checkpoint_at=2)
    torch.manual_seed(99)
    hub = Hub(pipeline)
    resumed = hub.submit(flux_request(0, 5) | {"callback_on_step_end": late(drawn[1])}, resume=whole.checkpoint)
    finish(hub, resumed)
    assert drawn[0] == drawn[1]
    assert same_pictures(whole, resumed)


def test_grad_mode_belongs_to_the_run(pipeline: Any) -> None:
    seen = []
    with torch.enable_grad():
        hub = Hub(pipeline)
        runs = [
            hub.submit(flux_request(i, 3), on_step=lambda run: seen.append(torch.is_grad_enabled())) for i in range(3)
        ]
        hub.turn()
        assert torch.is_grad_enabled()
        finish(hub, *runs)
        assert torch.is_grad_enabled()
    assert not any(seen)
    assert not any(run.latents.requires_grad for run in runs)


def test_autocast_of_one_run_is_not_that_of_another(pipeline: Any) -> None:
    class Half(type(pipeline)):  # type: ignore[misc]
        def __call__(self, *, half: bool, **kwargs: Any) -> Any:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                return super().__call__(**kwargs)

    half = Half(**pipeline.components)
    half.set_progress_bar_config(disable=True)
    hub = Hub(half)
    runs = [hub.submit(flux_request(i, 3) | {"half": i == 1}) for i in range(3)]
    finish(hub, *runs)
    assert not torch.is_autocast_enabled("cpu")
    for i, run in enumerate(runs):
        assert same_pictures(run, run_alone(half, flux_request(i, 3) | {"half": i == 1}))
    assert not same_pictures(run_alone(half, flux_request(1, 3) | {"half": False}), runs[1])
    assert hub.num_merged > 0


def test_default_dtype_and_function_modes_belong_to_the_run(pipeline: Any) -> None:
    class Odd(type(pipeline)):  # type: ignore[misc]
        def __call__(self, *, odd: bool, **kwargs: Any) -> Any:
            if not odd:
                return super().__call__(**kwargs)
            before = torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)
            try:
                with torch.device("cpu"):
                    return super().__call__(**kwargs)
            finally:
                torch.set_default_dtype(before)

    odd = Odd(**pipeline.components)
    odd.set_progress_bar_config(disable=True)
    seen: dict[int, set[tuple[Any, int]]] = {0: set(), 1: set()}

    def look(i: int) -> Any:
        def callback(pipe: Any, step: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            seen[i].add((torch.get_default_dtype(), torch._C._len_torch_function_stack()))
            return {}

        return callback

    hub = Hub(odd)
    runs = [hub.submit(flux_request(i, 3) | {"odd": i == 1, "callback_on_step_end": look(i)}) for i in range(2)]
    finish(hub, *runs)
    assert seen == {0: {(torch.float32, 0)}, 1: {(torch.float64, 1)}}
    assert torch.get_default_dtype() is torch.float32


def test_context_variables_belong_to_the_run(pipeline: Any) -> None:
    from contextvars import ContextVar

    who: ContextVar[int] = ContextVar("who", default=-1)
    wrong = []

    def mark(i: int) -> Any:
        def callback(pipe: Any, step: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            wrong.extend([who.get()] if step and who.get() != i else [])
            who.set(i)
            return {}

        return callback

    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 4) | {"callback_on_step_end": mark(i)}) for i in range(3)]
    finish(hub, *runs)
    assert not wrong
    assert who.get() == -1


def test_attention_processors_that_a_run_replaces_are_its_own() -> None:
    pipeline = sdxl()

    class Damped:
        """A guidance method's processor: the usual attention, at half strength."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __call__(self, attn: Any, hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
            return self.inner(attn, hidden_states, *args, **kwargs) * 0.5

    class Damping(type(pipeline)):  # type: ignore[misc]
        def __call__(self, *, damped: bool, **kwargs: Any) -> Any:
            before = self.unet.attn_processors
            if damped:
                self.unet.set_attn_processor({name: Damped(p) for name, p in before.items()})
            try:
                return super().__call__(**kwargs)
            finally:
                self.unet.set_attn_processor(before)

    damping = Damping(**pipeline.components)
    damping.set_progress_bar_config(disable=True)
    original = damping.unet.attn_processors
    alone = [run_alone(damping, sdxl_request(i, 3) | {"damped": i == 1}) for i in range(3)]
    hub = Hub(damping)
    runs = []
    for i in range(3):
        runs.append(hub.submit(sdxl_request(i, 3) | {"damped": i == 1}))
        hub.turn()
        assert damping.unet.attn_processors == original
    finish(hub, *runs)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    assert not same_pictures(alone[1], run_alone(damping, sdxl_request(1, 3) | {"damped": False}))
    assert hub.num_merged > 0


def test_samplers_of_the_pipeline_itself_are_never_touched(pipeline: Any) -> None:
    before = {key: repr(value) for key, value in vars(pipeline.scheduler).items()}
    finish_me = run_alone(pipeline, flux_request(0, 4))
    assert finish_me.steps == 4
    assert {key: repr(value) for key, value in vars(pipeline.scheduler).items()} == before
