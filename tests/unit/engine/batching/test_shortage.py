"""Memory that runs out, or a device that fails, in a pass: every run ends right, or fails alone."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from mezzotint.engine import Hub
from tests.conformance.engine.driving import finish, run_alone, same_pictures
from tests.conformance.engine.zoo import flux, flux_request
from tests.unit.engine.device.test_faults import BROKEN, OTHERS, SHORTAGES, UNFIT


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return flux()


@pytest.fixture(scope="module")
def alone(pipeline: Any) -> list[Any]:
    return [run_alone(pipeline, flux_request(i, 3)) for i in range(8)]


@contextmanager
def failing(pipeline: Any, fails: Callable[[int], Exception | None]) -> Iterator[list[int]]:
    """Raise in the denoiser what `fails` answers for a pass of so many rows; yields the widths that failed."""
    failed: list[int] = []

    def hook(module: Any, args: Any, kwargs: Any) -> None:
        rows = kwargs["hidden_states"].shape[0]
        error = fails(rows)
        if error is not None:
            failed.append(rows)
            raise error

    handle = pipeline.transformer.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield failed
    finally:
        handle.remove()


@pytest.mark.parametrize("error", SHORTAGES, ids=str)
def test_a_shortage_of_any_kind_narrows_passes_and_says_nothing_on_merging(
    pipeline: Any, alone: list[Any], error: Exception
) -> None:
    verdicts: dict[str, str] = {}
    hub = Hub(pipeline, verdicts=verdicts)
    with failing(pipeline, lambda rows: error if rows > 2 else None) as failed:
        runs = [hub.submit(flux_request(i, 3)) for i in range(4)]
        finish(hub, *runs)
    assert failed
    assert set(verdicts.values()) == {"same"}
    assert hub.num_merged > 0
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=False))


@pytest.mark.parametrize("error", [*BROKEN, *OTHERS], ids=str)
def test_an_error_that_is_not_about_shapes_is_never_kept_as_a_verdict(
    pipeline: Any, alone: list[Any], error: Exception
) -> None:
    verdicts: dict[str, str] = {}
    hub = Hub(pipeline, verdicts=verdicts)
    with failing(pipeline, lambda rows: error if rows > 2 else None):
        runs = [hub.submit(flux_request(i, 3)) for i in range(4)]
        finish(hub, *runs)
    assert "wrong" not in verdicts.values()
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=False))


@pytest.mark.parametrize("error", UNFIT, ids=str)
def test_arguments_that_do_not_fit_together_are_kept_as_a_verdict(pipeline: Any, error: Exception) -> None:
    verdicts: dict[str, str] = {}
    hub = Hub(pipeline, verdicts=verdicts)
    with failing(pipeline, lambda rows: error if rows > 2 else None):
        runs = [hub.submit(flux_request(i, 3)) for i in range(4)]
        finish(hub, *runs)
    assert "wrong" in verdicts.values()


def test_an_error_of_unknown_cause_is_met_once_by_a_process(pipeline: Any) -> None:
    hub = Hub(pipeline)
    with failing(pipeline, lambda rows: KeyError("cache") if rows > 2 else None) as failed:
        runs = [hub.submit(flux_request(i, 6)) for i in range(4)]
        finish(hub, *runs)
    assert len(failed) == 2  # one a layout that fits the calls


@pytest.mark.parametrize("error", [SHORTAGES[0], OTHERS[1]], ids=str)
def test_what_a_failed_pass_has_computed_is_gone_before_its_calls_are_made_again(
    pipeline: Any, error: Exception
) -> None:
    activations: list[weakref.ref[torch.Tensor]] = []
    alive_at_next: list[bool] = []

    def fill(module: Any, args: Any, kwargs: Any) -> None:
        if activations:
            alive_at_next.append(activations[-1]() is not None)
            activations.clear()
        if kwargs["hidden_states"].shape[0] > 2:
            activation = torch.ones(1000)
            activations.append(weakref.ref(activation))
            raise type(error)(*error.args)

    hub = Hub(pipeline)
    handle = pipeline.transformer.register_forward_pre_hook(fill, with_kwargs=True)
    runs = [hub.submit(flux_request(i, 3)) for i in range(4)]
    finish(hub, *runs)
    handle.remove()
    assert alive_at_next
    assert not any(alive_at_next)
