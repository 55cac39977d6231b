"""The time of passes on a device that works on while the host goes ahead: known later, and then the same account."""

from typing import Any

import pytest
import torch

from mezzotint.engine import Hub
from mezzotint.engine.batching import meter as meter_module
from mezzotint.engine.device import clock as clock_module
from mezzotint.engine.device.clock import EventClock, HostClock, Span, clock_of
from tests.conformance.engine.driving import finish, turn_until_idle
from tests.conformance.engine.zoo import flux, flux_request


class LaggingClock:
    """A device that needs a second for each pass, and is as many marks behind the host as told."""

    def __init__(self, lag: int) -> None:
        self.lag, self.num_marks, self.num_waits = lag, 0, 0

    def mark(self) -> int:
        self.num_marks += 1
        return self.num_marks

    def between(self, begun: int, ended: int, *, wait: bool) -> float | None:
        if ended > self.num_marks - self.lag and not wait:
            return None
        self.num_waits += ended > self.num_marks - self.lag
        return float(ended - begun)


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> LaggingClock:
    clock = LaggingClock(lag=3)
    monkeypatch.setattr(meter_module, "clock_of", lambda device: clock)
    return clock


@pytest.mark.parametrize("num_runs", [1, 3])
def test_a_pass_is_charged_once_the_device_is_done_with_it_and_before_its_run_is_over(
    lagging: LaggingClock, num_runs: int
) -> None:
    hub = Hub(flux(), exact=False)
    runs = [hub.submit(flux_request(i, 4)) for i in range(num_runs)]
    hub.turn()
    assert hub.pass_s == 0.0, "the device is behind"
    hub.turn()
    hub.turn()
    assert hub.pass_s > 0.0
    assert lagging.num_waits == 0
    finish(hub, *runs)
    assert hub.pass_s == hub.num_passes
    assert sum(run.cost_s for run in runs) == pytest.approx(hub.pass_s)


def test_what_a_width_costs_is_learnt_from_the_devices_own_time(lagging: LaggingClock) -> None:
    from mezzotint.engine.batching import passes as passes_module

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passes_module, "clock_of", lambda device, read: lagging)
        hub = Hub(flux(), exact=False)
        seen: list[Any] = []
        hub._choose = lambda parked: seen.extend(parked) or [one.id for one in parked]  # type: ignore[func-returns-value]
        hub.submit(flux_request(0, 4))
        turn_until_idle(hub)
    assert [dict(one.pass_s) for one in seen][-1] == {1: 1.0}


class Event:
    """A device's event, as torch's are: recorded, asked, waited for."""

    done = False
    count = 0

    def __init__(self, device: torch.device, *, enable_timing: bool) -> None:
        assert enable_timing
        self.at = Event.count = Event.count + 1

    def record(self, stream: object) -> None:
        self.stream = stream

    def query(self) -> bool:
        return Event.done

    def synchronize(self) -> None:
        Event.done = True

    def elapsed_time(self, later: "Event") -> float:
        return 250.0 * (later.at - self.at)


def test_a_gpu_is_asked_by_events_and_waited_for_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    monkeypatch.setattr(Event, "done", False)
    clock = clock_of(torch.device("cuda:1"))
    assert isinstance(clock, EventClock)
    span = Span(clock, clock.mark(), clock.mark())
    assert span.ended.stream == "stream of cuda:1"
    assert span.seconds() is None
    assert span.seconds(wait=True) == 0.25
    assert span.seconds() == 0.25


def test_a_cpu_is_timed_by_the_clock_that_is_named() -> None:
    moments = iter([1.0, 3.5])
    clock = clock_of(torch.device("cpu"), lambda: next(moments))
    assert isinstance(clock, HostClock)
    assert Span(clock, clock.mark(), clock.mark()).seconds() == 2.5
    assert not clock_module.is_asynchronous(torch.zeros(1))
    assert clock_module.is_asynchronous(torch.zeros(1, device="meta"))
