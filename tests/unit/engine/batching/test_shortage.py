"""Memory that runs out, or a device that fails, in a pass: every run ends right, or fails alone."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from mezzotint.domain.errors import OutOfMemory
from mezzotint.engine import Hub
from mezzotint.engine.device.memory import DeviceMemory
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
    assert "wrong" not in verdicts.values()
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


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A device whose passes take 100 bytes a row beside each other, in so much room."""
    device = {"room": 10_000, "rows": 0}
    monkeypatch.setattr(DeviceMemory, "is_measured", True)
    monkeypatch.setattr(DeviceMemory, "begin_peak", lambda self: None)
    monkeypatch.setattr(DeviceMemory, "peak_bytes", lambda self: 100 * device["rows"])
    monkeypatch.setattr(DeviceMemory, "room_bytes", lambda self: device["room"])
    return device


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("num_runs", [1, 2, 4, 8])
def test_a_device_that_tells_its_memory_fails_at_most_one_pass(
    pipeline: Any, alone: list[Any], measured: dict[str, int], num_runs: int, exact: bool
) -> None:
    measured["room"] = 350

    def fails(rows: int) -> Exception | None:
        measured["rows"] = rows
        return torch.OutOfMemoryError("CUDA out of memory") if 100 * rows > measured["room"] else None

    hub = Hub(pipeline, exact=exact)
    with failing(pipeline, fails) as failed:
        runs = [hub.submit(flux_request(i, 3)) for i in range(num_runs)]
        finish(hub, *runs)
    assert len(failed) <= 1
    assert hub.num_merged > 0 or num_runs == 1
    if exact:
        assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=False))


@pytest.mark.parametrize("num_runs", [1, 2, 4, 8])
def test_after_a_width_that_failed_passes_go_back_to_what_has_fitted(
    pipeline: Any, alone: list[Any], num_runs: int
) -> None:
    hub = Hub(pipeline)
    with failing(pipeline, lambda rows: torch.OutOfMemoryError("out of memory") if rows > 2 else None) as failed:
        runs = [hub.submit(flux_request(i, 3)) for i in range(num_runs)]
        finish(hub, *runs)
    assert failed == [num_runs][: num_runs > 2]
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=False))


@pytest.mark.parametrize("error", SHORTAGES, ids=str)
@pytest.mark.parametrize("num_runs", [1, 4])
def test_a_shortage_that_lasts_fails_the_runs_it_hits_and_a_passing_one_fails_none(
    pipeline: Any, alone: list[Any], error: Exception, num_runs: int
) -> None:
    hub = Hub(pipeline)
    with failing(pipeline, lambda rows: error):
        runs = [hub.submit(flux_request(i, 3)) for i in range(num_runs)]
        while hub.turn():
            pass
    assert all(isinstance(run.error, OutOfMemory) for run in runs)
    assert "does not fit into the device's memory" in str(runs[0].error)
    once = [error]
    with failing(pipeline, lambda rows: once.pop() if once else None):
        runs = [hub.submit(flux_request(i, 3)) for i in range(num_runs)]
        finish(hub, *runs)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=False))
