"""Count what tells whether this worker and its device are well: ends of runs, step times, the device's sensors."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from mezzotint.domain.errors import EngineFailed, JobFault, NotFinite, RunFailed, WorkerLost
from mezzotint.domain.fleet.vitals import WorkerReport
from mezzotint.domain.gpu import GpuReading

WINDOW_S = 600.0
MAX_ENDS, MAX_STEPS = 10_000, 500
"""Ends of runs, and steps of one model, that are remembered."""
WORKERS_FAULT = (NotFinite, RunFailed, EngineFailed, WorkerLost)
"""Faults that may lie with the worker or its device; the others are the request's, or a store's."""


@dataclass(slots=True)
class HealthCounts:
    """The last ten minutes. clock: seconds that never go back."""

    clock: Callable[[], float] = time.monotonic
    _ends: deque[tuple[float, JobFault | None]] = field(default_factory=lambda: deque(maxlen=MAX_ENDS))
    _steps: dict[str, deque[tuple[float, float]]] = field(default_factory=dict)
    _sensors: GpuReading | None = None
    _errors_before: int | None = None

    def record_end(self, fault: JobFault | None) -> None:
        """A run ended. fault: None when it made its pictures."""
        self._ends.append((self.clock(), fault))

    def record_step(self, model: str, seconds: float) -> None:
        self._steps.setdefault(model, deque(maxlen=MAX_STEPS)).append((self.clock(), seconds))

    def record_sensors(self, reading: GpuReading) -> None:
        if self._errors_before is None:
            self._errors_before = reading.uncorrected_errors
        self._sensors = reading

    def report(self) -> WorkerReport:
        since = self.clock() - WINDOW_S
        faults = [fault for at, fault in self._ends if at >= since]
        recent = {model: [took for at, took in steps if at >= since] for model, steps in self._steps.items()}
        sensors = self._sensors or GpuReading()
        used, total, errors = sensors.used_bytes, sensors.total_bytes, sensors.uncorrected_errors
        return WorkerReport(
            num_runs=len(faults),
            num_failed=sum(isinstance(fault, WORKERS_FAULT) for fault in faults),
            num_not_finite=sum(isinstance(fault, NotFinite) for fault in faults),
            step_s={model: median(took) for model, took in recent.items() if took},
            memory_share=used / total if used is not None and total else None,
            device_errors=0 if errors is None else max(errors - (self._errors_before or 0), 0),
            temperature_c=sensors.temperature_c,
        )
