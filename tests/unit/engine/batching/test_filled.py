"""Passes of one fixed width, as exact mode makes them on a GPU, made with the CPU's kernels: company changes no bit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from mezzotint.domain.errors import OutOfMemory
from mezzotint.engine import Hub, Run
from mezzotint.engine import hub as hub_module
from mezzotint.engine.device.clock import HostClock, Span
from mezzotint.engine.numerics import Numerics
from tests.conformance.engine.driving import finish, same_pictures, turn_until_idle
from tests.conformance.engine.zoo import flux, flux_request
from tests.unit.engine.device.test_faults import OTHERS, SHORTAGES

WIDTH = 4


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return flux()


@pytest.fixture(autouse=True)
def filled(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = Numerics(device=torch.device("cpu"), dtype=torch.float32, exact=True, fixed_rows=WIDTH)
    monkeypatch.setattr(hub_module, "numerics_of", lambda *args, **kwargs: fixed)


@contextmanager
def hooked(pipeline: Any, change: Callable[[torch.Tensor, Any], Any]) -> Iterator[list[int]]:
    """Let `change` replace the denoiser's output, given its inputs; yields the widths of all passes."""
    widths: list[int] = []

    def hook(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        widths.append(kwargs["hidden_states"].shape[0])
        return (change(output[0], kwargs),)

    handle = pipeline.transformer.register_forward_hook(hook, with_kwargs=True)
    try:
        yield widths
    finally:
        handle.remove()


def draw(pipeline: Any, num_runs: int, verdicts: dict[str, str] | None = None) -> tuple[Hub, list[Run]]:
    hub = Hub(pipeline, verdicts=verdicts)
    runs = [hub.submit(flux_request(i, 4 + i % 2)) for i in range(num_runs)]
    turn_until_idle(hub)
    return hub, runs


def lone(pipeline: Any, number: int) -> Run:
    hub = Hub(pipeline)
    run = hub.submit(flux_request(number, 4 + number % 2))
    finish(hub, run)
    return run


def by_slot(output: torch.Tensor, kwargs: Any) -> torch.Tensor:
    """As of a kernel that sums in another order at another place in the batch."""
    slots = torch.arange(len(output), dtype=output.dtype).view(-1, *[1] * (output.ndim - 1))
    return output * (1 + 1e-6 * slots)


@pytest.mark.parametrize("num_runs", [1, 2, 4, 8])
def test_where_slots_differ_every_run_gets_its_own_pass_and_the_same_bits(pipeline: Any, num_runs: int) -> None:
    verdicts: dict[str, str] = {}
    with hooked(pipeline, by_slot):
        alone = [lone(pipeline, i) for i in range(num_runs)]
        hub, runs = draw(pipeline, num_runs, verdicts)
    assert hub.num_merged == 0
    assert ("drift" in verdicts.values()) == (num_runs > 1)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


@pytest.mark.parametrize("num_runs", [2, 4, 8])
def test_where_every_slot_gives_the_same_bits_runs_share_passes(pipeline: Any, num_runs: int) -> None:
    alone = [lone(pipeline, i) for i in range(num_runs)]
    verdicts: dict[str, str] = {}
    with hooked(pipeline, lambda output, kwargs: output) as widths:
        hub, runs = draw(pipeline, num_runs, verdicts)
    assert hub.num_merged > 0
    assert set(verdicts.values()) == {"same"}
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    assert set(widths) == {1, WIDTH}
    with hooked(pipeline, lambda output, kwargs: output) as widths:
        again, _ = draw(pipeline, num_runs, verdicts)
    assert set(widths) == {WIDTH}
    assert again.num_verifications == 0


def test_a_run_costs_the_same_alone_and_in_company(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(self: Any, work: Callable[[], Any]) -> tuple[Any, Span]:
        return work(), Span(HostClock(), 0.0, 8.0)  # seconds of every pass

    monkeypatch.setattr("mezzotint.engine.batching.meter.PassMeter.measure", measured)
    alone = lone(pipeline, 0)
    _, runs = draw(pipeline, 4)
    assert alone.cost_s == runs[0].cost_s == 4 * 8.0 / WIDTH


@pytest.mark.parametrize(("num_runs", "error"), [*zip([1, 2, 4, 8] * 3, SHORTAGES, strict=True)], ids=str)
def test_memory_that_lacks_for_a_moment_changes_no_bit(pipeline: Any, num_runs: int, error: Exception) -> None:
    failed: list[int] = []

    def fail_once(output: torch.Tensor, kwargs: Any) -> torch.Tensor:
        if not failed and len(output) == WIDTH:
            failed.append(len(output))
            raise error
        return output

    alone = [lone(pipeline, i) for i in range(num_runs)]
    verdicts: dict[str, str] = {}
    with hooked(pipeline, fail_once):
        _, runs = draw(pipeline, num_runs, verdicts)
    assert failed == [WIDTH]
    assert all(run.error is None for run in runs)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
    assert set(verdicts.values()) == {"same"}


@pytest.mark.parametrize("error", SHORTAGES, ids=str)
def test_a_run_that_does_not_fit_at_the_fixed_width_fails_alone_and_never_changes_its_width(
    pipeline: Any, error: Exception
) -> None:
    def fail(output: torch.Tensor, kwargs: Any) -> torch.Tensor:
        if output.shape[1] > 100:
            raise error
        return output

    alone = lone(pipeline, 0)
    hub = Hub(pipeline)
    with hooked(pipeline, fail) as widths:
        small = hub.submit(flux_request(0, 4))
        large = hub.submit(flux_request(1, 4) | {"height": 64})
        finish(hub, small)
    assert same_pictures(alone, small)
    assert isinstance(large.error, OutOfMemory)
    assert "(4, 128, 16) does not fit" in str(large.error)
    assert "passes of 50% of that size did" in str(large.error)
    assert widths[:3].count(WIDTH) >= 2


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_an_unknown_error_of_a_filled_pass_is_the_runs_and_never_gives_other_bits(
    pipeline: Any, error: Exception
) -> None:
    verdicts: dict[str, str] = {}

    def fail(output: torch.Tensor, kwargs: Any) -> torch.Tensor:
        if len(output) == WIDTH:
            raise error
        return output

    with hooked(pipeline, fail):
        _, runs = draw(pipeline, 2, verdicts)
    assert [run.error for run in runs] == [error, error]
    assert not verdicts


def test_a_run_that_breaks_a_mixed_pass_breaks_alone(pipeline: Any) -> None:
    def refuse(output: torch.Tensor, kwargs: Any) -> torch.Tensor:
        if kwargs["encoder_hidden_states"].abs().max() > 50:
            raise ValueError("out of range")
        return output

    alone = [lone(pipeline, i) for i in range(2)]
    hub = Hub(pipeline)
    with hooked(pipeline, refuse):
        runs = [hub.submit(flux_request(i, 4 + i)) for i in range(2)]
        request = flux_request(2, 4)
        broken = hub.submit(request | {"prompt_embeds": request["prompt_embeds"] * 100})
        finish(hub, *runs)
    assert isinstance(broken.error, ValueError)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_a_denoiser_that_mixes_rows_is_never_used_filled(pipeline: Any) -> None:
    verdicts: dict[str, str] = {}
    with hooked(pipeline, lambda output, kwargs: output + 0.1 * (len(output) - 1)):
        alone = [lone(pipeline, i) for i in range(2)]
        hub, runs = draw(pipeline, 2, verdicts)
    assert "wrong" in verdicts.values()
    assert hub.num_merged == 0
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))
