"""Merged numbers lie where the samples lie: a device that is not the CPU, played by torch's meta device."""

from typing import Any

import pytest
import torch

from mezzotint.engine.batching.merge import Layout, merge
from mezzotint.engine.proxy import Call


def call(timestep: Any, rows: int = 2) -> Call:
    return Call(torch.nn.Identity(), (torch.zeros(rows, 4, 8, 8, device="meta"), timestep), {}, None)


@pytest.mark.parametrize("timesteps", [(7, 3), (0.5, 0.25)])
def test_numbers_of_several_runs_become_rows_on_the_device_of_the_samples(timesteps: tuple[Any, Any]) -> None:
    merged = merge([call(timestep) for timestep in timesteps], Layout())
    assert merged.args[1].device.type == "meta"
    assert merged.args[1].shape == (4,)


@pytest.mark.parametrize("timestep", [7, 0.5, torch.tensor(7)])
def test_so_do_equal_ones_where_every_pass_has_one_form(timestep: Any) -> None:
    merged = merge([call(timestep), call(timestep)], Layout(), expand_all=True)
    assert merged.args[1].device.type == "meta"
    assert merged.args[1].shape == (4,)


def test_so_do_single_numbers_of_the_processor() -> None:
    merged = merge([call(torch.tensor(7)), call(torch.tensor(3), rows=1)], Layout())
    assert merged.args[1].device.type == "meta"
    assert merged.args[1].shape == (3,)


def test_nothing_is_compared_where_every_pass_has_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*_: Any) -> bool:
        raise AssertionError("a comparison waits for the device")

    monkeypatch.setattr(torch, "equal", compare)
    merge([call(torch.tensor(7)), call(torch.tensor(7))], Layout(), expand_all=True)
