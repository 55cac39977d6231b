"""Time what a device does, without waiting for it.

A CPU's work is over when the call returns. Another device works on while the host goes ahead: events between its tasks
tell how long they took, once it has reached them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Clock(Protocol):
    """Marks moments in a device's work."""

    def mark(self) -> Any:
        """This moment."""

    def between(self, begun: Any, ended: Any, *, wait: bool) -> float | None:
        """Seconds from one mark to another; None where the device is not there yet and `wait` is false."""


@dataclass(frozen=True, slots=True)
class HostClock:
    """read: seconds since some moment."""

    read: Callable[[], float] = time.perf_counter

    def mark(self) -> float:
        return self.read()

    def between(self, begun: float, ended: float, *, wait: bool) -> float | None:
        return ended - begun


@dataclass(frozen=True, slots=True)
class EventClock:
    device: torch.device

    def mark(self) -> Any:
        event: Any = torch.Event(self.device, enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def between(self, begun: Any, ended: Any, *, wait: bool) -> float | None:
        if not ended.query():
            if not wait:
                return None
            ended.synchronize()
        return float(begun.elapsed_time(ended)) / 1000


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A stretch of a device's work between two marks of a clock."""

    clock: Clock
    begun: Any
    ended: Any

    def seconds(self, *, wait: bool = False) -> float | None:
        """Seconds of the stretch; None where the device is not done with it and `wait` is false."""
        return self.clock.between(self.begun, self.ended, wait=wait)


def is_asynchronous(tensor: torch.Tensor) -> bool:
    """Say whether the host goes ahead of the device that the tensor is on, so that reading from it waits."""
    return tensor.device.type != "cpu"


def clock_of(device: torch.device, read: Callable[[], float] = time.perf_counter) -> Clock:
    """read: the host's clock, for work of the CPU."""
    return EventClock(device) if device.type == "cuda" else HostClock(read)
