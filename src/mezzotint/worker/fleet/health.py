"""Count what tells whether this worker and its device are well: ends of runs, step times, the device's sensors."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from mezzotint.domain.errors import (
    DeadlineExceeded,
    EngineFailed,
    ImageBlocked,
    JobFault,
    NotFinite,
    RunFailed,
    SourceMissing,
    StepBudgetExceeded,
    WorkerLost,
)
from mezzotint.domain.fleet.vitals import WorkerReport
from mezzotint.domain.gpu import GpuReading
from mezzotint.policy.fair_queue.settle import next_pace

WINDOW_S = 600.0
MAX_ENDS = 10_000
STEPS_S, STEP_EVERY_S, MIN_STEPS = 120.0, 1.0, 30
"""Steps are compared between workers over the same two minutes, or the load of one hour would be held against that of
another: of each kind one a second is remembered, so that busy and idle workers look back equally far, and fewer than
30 say nothing."""
WORKERS_FAULT = (NotFinite, RunFailed, EngineFailed, WorkerLost)
"""Faults that may lie with the worker or its device; the others are the request's, or a store's."""
REQUESTS_FAULT = (ImageBlocked, SourceMissing, StepBudgetExceeded, DeadlineExceeded)
"""Faults that no version of a worker is to blame for."""


@dataclass(slots=True)
class HealthCounts:
    """The last ten minutes. clock: seconds that never go back. num_runs, num_failed: all runs that ended since the
    start, and those that failed by no fault of their request. fingerprints: see `WorkerReport`."""

    clock: Callable[[], float] = time.monotonic
    num_runs: int = 0
    num_failed: int = 0
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    _pace_s: dict[str, float] = field(default_factory=dict)
    _ends: deque[tuple[float, JobFault | None]] = field(default_factory=lambda: deque(maxlen=MAX_ENDS))
    _steps: dict[str, deque[tuple[float, float]]] = field(default_factory=dict)
    _sensors: GpuReading | None = None
    _errors_before: int | None = None

    def record_end(self, fault: JobFault | None) -> None:
        """A run ended. fault: None when it made its pictures."""
        self._ends.append((self.clock(), fault))
        self.num_runs += 1
        self.num_failed += fault is not None and not isinstance(fault, REQUESTS_FAULT)

    def record_step(self, model: str, seconds: float, megapixels: float, num_runs: int) -> None:
        """num_runs: that the device steps by turns or together: steps of four of them take longer than one's."""
        kind, now = f"{model} x {1 << (num_runs - 1).bit_length()}", self.clock()
        steps = self._steps.setdefault(kind, deque(maxlen=int(STEPS_S / STEP_EVERY_S)))
        if not steps or now - steps[-1][0] >= STEP_EVERY_S:
            steps.append((now, seconds / megapixels))

    def record_pace(self, model: str, work: float, gpu_s: float) -> None:
        """work: step-megapixels that a run computed. gpu_s: its part of the device's time."""
        pace_s = next_pace(self._pace_s.get(model), work, gpu_s)
        if pace_s is not None:
            self._pace_s[model] = pace_s

    def record_sensors(self, reading: GpuReading) -> None:
        if self._errors_before is None:
            self._errors_before = reading.uncorrected_errors
        self._sensors = reading

    def report(self) -> WorkerReport:
        now = self.clock()
        faults = [fault for at, fault in self._ends if at >= now - WINDOW_S]
        recent = {kind: [took for at, took in steps if at >= now - STEPS_S] for kind, steps in self._steps.items()}
        sensors = self._sensors or GpuReading()
        used, total, errors = sensors.used_bytes, sensors.total_bytes, sensors.uncorrected_errors
        return WorkerReport(
            num_runs=len(faults),
            num_failed=sum(isinstance(fault, WORKERS_FAULT) for fault in faults),
            num_not_finite=sum(isinstance(fault, NotFinite) for fault in faults),
            step_s={kind: median(took) for kind, took in recent.items() if len(took) >= MIN_STEPS},
            memory_share=used / total if used is not None and total else None,
            device_errors=0 if errors is None else max(errors - (self._errors_before or 0), 0),
            temperature_c=sensors.temperature_c,
            pace_s=dict(self._pace_s),
            fingerprints=dict(self.fingerprints),
        )
