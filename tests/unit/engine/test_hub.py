"""The fate of a run is its own: errors, budgets, cancelling, and what is left behind, on tiny real pipelines."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from mezzotint.domain.errors import (
    DeadlineExceeded,
    NotFinite,
    StepBudgetExceeded,
)
from mezzotint.engine import Hub, Run, RunCancelled
from tests.conformance.engine.driving import finish, pictures, run_alone, same_pictures, turn_until_idle
from tests.conformance.engine.zoo import flux_request


def poison_at(step: int) -> Any:
    """A callback that makes the latents NaN after a step, as a broken kernel or an overflow would."""

    def callback(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {"latents": kwargs["latents"] * float("nan")} if i + 1 == step else {}

    return callback


def break_at(step: int) -> Any:
    def callback(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        if i + 1 == step:
            raise LookupError("broken on purpose")
        return {}

    return callback


def test_a_poisoned_run_fails_alone_and_its_seven_neighbours_draw_the_same_pictures(pipeline: Any) -> None:
    alone = [run_alone(pipeline, flux_request(i, 6)) for i in range(7)]
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 6)) for i in range(7)]
    poisoned = hub.submit(flux_request(9, 6) | {"callback_on_step_end": poison_at(3)})
    finish(hub, *runs)
    assert isinstance(poisoned.error, NotFinite)
    assert poisoned.output is None
    assert poisoned.steps == 3
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_an_exception_in_one_run_is_its_error_and_nobody_elses(pipeline: Any) -> None:
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 5)) for i in range(2)]
    broken = hub.submit(flux_request(3, 5) | {"callback_on_step_end": break_at(2)})
    wrong = hub.submit(flux_request(4, 5) | {"height": "tall"})
    unknown = hub.submit(flux_request(4, 5) | {"no_such_argument": 1})
    finish(hub, *runs)
    assert isinstance(broken.error, LookupError)
    assert "broken on purpose" in broken.traceback
    assert isinstance(wrong.error, Exception)
    assert isinstance(unknown.error, TypeError)
    assert all(same_pictures(run_alone(pipeline, flux_request(i, 5)), run) for i, run in enumerate(runs))


def test_an_interrupt_of_the_process_reaches_the_caller(pipeline: Any) -> None:
    def interrupt(run: Run) -> None:
        raise KeyboardInterrupt

    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 4), on_step=interrupt)
    with pytest.raises(KeyboardInterrupt):
        turn_until_idle(hub)
    assert run.done


def test_a_run_stops_at_its_step_budget(pipeline: Any) -> None:
    hub = Hub(pipeline)
    over = hub.submit(flux_request(0, 6), budget=4)
    within = hub.submit(flux_request(1, 6), budget=6)
    finish(hub, within)
    assert isinstance(over.error, StepBudgetExceeded)
    assert over.steps == 4
    assert over.num_calls == 4


def test_a_cancelled_run_ends_at_once_and_the_others_go_on(pipeline: Any) -> None:
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 5)) for i in range(3)]
    hub.turn()
    hub.turn()
    hub.cancel(runs[1])
    assert runs[1].done
    assert isinstance(runs[1].error, RunCancelled)
    hub.cancel(runs[1])
    finish(hub, runs[0], runs[2])
    assert all(same_pictures(run_alone(pipeline, flux_request(i, 5)), runs[i]) for i in (0, 2))


def test_a_run_that_has_not_begun_can_be_cancelled(pipeline: Any) -> None:
    hub = Hub(pipeline)
    run = hub.submit(flux_request(0, 5))
    hub.cancel(run)
    assert isinstance(run.error, RunCancelled)
    assert run.num_calls == 0
    assert not hub.turn()


def test_a_callback_may_cancel_any_run(pipeline: Any) -> None:
    hub = Hub(pipeline)
    first = hub.submit(flux_request(0, 5), on_step=lambda run: run.steps == 2 and hub.cancel(run))
    last = hub.submit(flux_request(1, 5))
    middle = hub.submit(flux_request(2, 5), on_step=lambda run: run.steps == 3 and hub.cancel(last))
    finish(hub, middle)
    assert isinstance(first.error, RunCancelled)
    assert first.steps == 2
    assert isinstance(last.error, RunCancelled)
    assert last.steps < 5


def test_a_pipeline_that_swallows_the_cancel_still_ends_cancelled(pipeline: Any) -> None:
    class Stubborn(type(pipeline)):  # type: ignore[misc]
        def __call__(self, **kwargs: Any) -> Any:
            try:
                return super().__call__(**kwargs)
            except BaseException:
                return "swallowed"

    stubborn = Stubborn(**pipeline.components)
    hub = Hub(stubborn)
    run = hub.submit(flux_request(0, 5))
    hub.turn()
    hub.cancel(run)
    assert isinstance(run.error, RunCancelled)
    assert run.output is None


def test_a_run_past_its_deadline_ends_and_the_others_go_on(pipeline: Any) -> None:
    now = [100.0]
    hub = Hub(pipeline, clock=lambda: now[0])
    late = hub.submit(flux_request(0, 6), deadline_at=110.0)
    other = hub.submit(flux_request(1, 6))
    hub.turn()
    hub.turn()
    now[0] = 110.0
    finish(hub, other)
    assert isinstance(late.error, DeadlineExceeded)
    assert late.steps == 2
    assert same_pictures(run_alone(pipeline, flux_request(1, 6)), other)


def test_ended_runs_leave_nothing_behind(pipeline: Any) -> None:
    hub = Hub(pipeline)
    traces = []
    for i in range(40):
        request = flux_request(i % 5, 2)
        traces.append(weakref.ref(request["prompt_embeds"]))
        if i % 4 == 0:
            request["callback_on_step_end"] = break_at(1)
        run = hub.submit(request, checkpoint_every=1)
        traces.append(weakref.ref(run))
        turn_until_idle(hub)
        if i % 4 == 1:
            hub.cancel(hub.submit(request))
        del request, run
    gc.collect()
    assert not [trace for trace in traces if trace() is not None]
    assert hub.num_live == 0


def test_the_output_is_that_of_the_stock_pipeline(pipeline: Any) -> None:
    stock = pictures(pipeline(**flux_request(0, 4)))
    assert np.abs(pictures(run_alone(pipeline, flux_request(0, 4)).output) - stock).max() < 1e-5
    fast = Hub(pipeline, exact=False)
    run = fast.submit(flux_request(0, 4))
    finish(fast, run)
    assert np.array_equal(pictures(run.output), stock)


def test_an_exception_in_a_listener_ends_its_run_alone(pipeline: Any) -> None:
    def fail(run: Run, *_: Any) -> None:
        raise LookupError("the listener broke")

    hub = Hub(pipeline)
    good = hub.submit(flux_request(0, 4))
    bad = [
        hub.submit(flux_request(1, 4), on_step=fail),
        hub.submit(flux_request(2, 4), checkpoint_every=2, on_checkpoint=fail),
    ]
    finish(hub, good)
    assert all(isinstance(run.error, LookupError) for run in bad)
    assert [run.steps for run in bad] == [1, 2]


def test_what_a_run_keeps_is_measured_grows_with_its_picture_and_is_nothing_after_its_end(pipeline: Any) -> None:
    hub = Hub(pipeline)
    requests = [flux_request(0, 3) | {"height": side, "width": side} for side in (16, 32)]
    small, large = (hub.submit(request) for request in requests)
    hub.turn()
    hub.turn()
    assert small.latents is not None
    assert large.latents is not None
    latents = large.latents.numel() * large.latents.element_size()
    assert large.held_bytes > latents + requests[1]["prompt_embeds"].nbytes
    assert large.held_bytes - small.held_bytes >= latents - small.latents.nbytes
    finish(hub, small, large)
    assert (small.held_bytes, large.held_bytes) == (0, 0)
