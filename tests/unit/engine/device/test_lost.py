"""A lost device is told from a run that failed. The device's faults are injected."""

from typing import Any

import pytest
import torch

from mezzotint.engine import Hub
from mezzotint.engine.device import lost
from mezzotint.engine.device.lost import check_device
from mezzotint.engine.errors import DeviceLost
from tests.conformance.engine.driving import finish, turn_until_idle
from tests.conformance.engine.zoo import sdxl, sdxl_request

CPU = torch.device("cpu")
STICKY = RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported")


def break_device(patch: pytest.MonkeyPatch, error: Exception = STICKY) -> None:
    def probe(device: torch.device) -> None:
        raise error

    patch.setattr(lost, "probe", probe)


def test_a_device_that_computes_is_not_lost_whatever_the_error_says() -> None:
    check_device(CPU, STICKY)


def test_a_device_that_does_not_answer_the_probe_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    break_device(monkeypatch)
    with pytest.raises(DeviceLost, match=r"^cpu computes no more: CUDA error: device-side assert triggered$"):
        check_device(CPU, ValueError("of a pipeline"))


@pytest.mark.parametrize("memory", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_want_of_memory_is_no_lost_device(monkeypatch: pytest.MonkeyPatch, memory: Exception) -> None:
    break_device(monkeypatch)
    check_device(CPU, memory)
    break_device(monkeypatch, memory)
    check_device(CPU, STICKY)


@pytest.mark.parametrize("where", ["decode", "step", "pass"])
def test_a_lost_device_ends_the_hub_and_not_the_run(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    pipeline = sdxl()
    hub = Hub(pipeline)
    runs = [hub.submit(sdxl_request(i, 3)) for i in range(2)]

    def fail(*args: Any, **kwargs: Any) -> Any:
        break_device(monkeypatch)
        raise STICKY

    if where == "decode":
        monkeypatch.setattr(pipeline.vae, "decode", fail)
    else:
        hub.turn()
    if where == "pass":
        monkeypatch.setattr(pipeline.unet, "forward", fail)
    if where == "step":
        runs.append(hub.submit(sdxl_request(2, 3) | {"callback_on_step_end": fail}))
    with pytest.raises(DeviceLost):
        turn_until_idle(hub)
    assert not any(run.done and run.error for run in runs)
    assert {run.id for run in runs} == hub.at_work


def test_only_the_run_that_reads_its_prompt_was_at_work_then(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = sdxl()
    hub = Hub(pipeline)
    company = hub.submit(sdxl_request(0, 3))
    hub.turn()
    run = hub.submit(sdxl_request(1, 3) | {"height": "tall"})
    break_device(monkeypatch)
    with pytest.raises(DeviceLost):
        hub.turn()
    assert hub.at_work == {run.id}
    assert not company.done


def test_an_error_of_one_run_on_a_device_that_lives_stays_that_runs() -> None:
    def fail(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        raise STICKY

    hub = Hub(sdxl())
    failed, run = hub.submit(sdxl_request(0, 2) | {"callback_on_step_end": fail}), hub.submit(sdxl_request(1, 2))
    finish(hub, run)
    turn_until_idle(hub)
    assert failed.error is STICKY
