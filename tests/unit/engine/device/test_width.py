"""Filled passes are as wide as the device's memory allows, and stay so."""

from typing import Any

import pytest
import torch

from mezzotint.engine import hub as hub_module
from mezzotint.engine.device.memory import DeviceMemory
from mezzotint.engine.device.width import find_fixed_rows, pick_fixed_rows
from mezzotint.engine.numerics import GUIDED_ROWS, Numerics
from tests.conformance.engine.zoo import sdxl, sdxl_request


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return sdxl()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A device that fills passes and tells its memory, made of the CPU: so many bytes a pass, in so much room."""
    told = {"pass": 100, "room": 1000}

    def numerics_of(*args: Any, exact: bool, fixed_rows: int) -> Numerics:
        return Numerics(device=torch.device("cpu"), dtype=torch.float32, exact=exact, fixed_rows=fixed_rows)

    monkeypatch.setattr(hub_module, "numerics_of", numerics_of)
    monkeypatch.setattr(DeviceMemory, "is_measured", True)
    monkeypatch.setattr(DeviceMemory, "begin_peak", lambda self: None)
    monkeypatch.setattr(DeviceMemory, "peak_bytes", lambda self: told["pass"])
    monkeypatch.setattr(DeviceMemory, "room_bytes", lambda self: told["room"])
    return told


@pytest.mark.parametrize(
    ("rows", "pass_bytes", "room_bytes", "fixed"),
    [(2, 10, 1000, 8), (1, 10, 1000, 4), (2, 300, 1000, 4), (2, 500, 1000, 2), (2, 5000, 1000, 2)],
)
def test_as_many_runs_share_a_pass_as_fit_with_one_at_least_and_four_at_most(
    rows: int, pass_bytes: int, room_bytes: int, fixed: int
) -> None:
    assert pick_fixed_rows(rows, pass_bytes, room_bytes) == fixed


@pytest.mark.parametrize(("growth", "fixed"), [(1.0, 8), (4.0, 4), (9.0, 2)])
def test_a_guided_run_is_drawn_and_the_largest_picture_must_fit(
    pipeline: Any, device: dict[str, int], growth: float, fixed: int
) -> None:
    assert find_fixed_rows(pipeline, lambda: sdxl_request(0, 2), growth=growth) == fixed


def test_a_width_once_found_stays_whatever_else_takes_memory(pipeline: Any, device: dict[str, int]) -> None:
    known: dict[str, str] = {}
    assert find_fixed_rows(pipeline, lambda: sdxl_request(0, 2), known=known) == 8
    device["room"] = 150
    assert find_fixed_rows(pipeline, lambda: sdxl_request(0, 2), known=known) == 8
    assert find_fixed_rows(pipeline, lambda: sdxl_request(0, 2), known={}) == 2


def test_a_request_that_fails_leaves_each_run_its_own_rows(pipeline: Any, device: dict[str, int]) -> None:
    known: dict[str, str] = {}
    assert find_fixed_rows(pipeline, lambda: sdxl_request(0, 2) | {"height": "tall"}, known=known) == 1
    assert not known


def test_the_width_is_part_of_the_fingerprint(pipeline: Any, device: dict[str, int]) -> None:
    assert [hub_module.Hub(pipeline, fixed_rows=rows).fingerprint["rows"] for rows in (2, 8)] == ["2", "8"]


def test_a_processor_needs_no_width_and_draws_nothing(pipeline: Any) -> None:
    def never() -> dict[str, Any]:
        raise AssertionError

    assert find_fixed_rows(pipeline, never) == GUIDED_ROWS
