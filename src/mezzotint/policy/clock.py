"""Detect steps of the system clock (NTP, an administrator, a resumed virtual machine) and correct ages for them.

Rows carry wall time, since several machines and a restart must understand it. A step makes rows seem older or younger
than they are. A process sees a step by its monotonic clock, and subtracts it where age would end something.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

MIN_STEP_S = 2.0
"""Less is slewing, or the time between reading one clock and the other."""
REMEMBERED_S = 86_400.0
MAX_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """Both clocks at one moment. steady_s: monotonic, from any origin."""

    wall: datetime
    steady_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """steady_s: when it was seen. shift_s: seconds that the wall clock gained without their passing; below 0: lost."""

    steady_s: float
    shift_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockHistory:
    """The last reading, and the steps of the last day, oldest first."""

    last: ClockReading | None = None
    steps: tuple[ClockStep, ...] = ()

    def add_reading(self, reading: ClockReading) -> "ClockHistory":
        """The history with one more reading. A step is the wall clock's movement beyond the time that passed."""
        if self.last is None:
            return ClockHistory(last=reading)
        passed_s = reading.steady_s - self.last.steady_s
        shift_s = (reading.wall - self.last.wall).total_seconds() - passed_s
        steps = tuple(step for step in self.steps if reading.steady_s - step.steady_s < REMEMBERED_S)
        if abs(shift_s) >= MIN_STEP_S:
            steps = (*steps, ClockStep(steady_s=reading.steady_s, shift_s=shift_s))[-MAX_STEPS:]
        return ClockHistory(last=reading, steps=steps)

    def overstatement(self, age: timedelta) -> timedelta:
        """The time by which a row that seems to be of this age may seem older than it is.

        A row written after a step is as old as it seems; a row written before it is older than the time since.
        """
        if self.last is None:
            return timedelta(0)
        most_s = total_s = 0.0
        for step in reversed(self.steps):
            if self.last.steady_s - step.steady_s >= age.total_seconds():
                break
            total_s += step.shift_s
            most_s = max(most_s, total_s)
        return timedelta(seconds=most_s)


def latest_of(at: datetime, earlier: Iterable[datetime | None]) -> datetime:
    """The instant, or the latest of those that certainly came first: a clock that was set back makes no row end before
    it began."""
    return max([at, *(one for one in earlier if one is not None)])
