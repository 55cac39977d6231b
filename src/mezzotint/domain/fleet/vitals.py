"""The counts that a worker reports about itself with its heartbeat."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """A worker's last ten minutes. num_failed: runs that failed by a fault of the worker or its device, those with NaN
    included; num_not_finite: these alone. step_s: model and runs at a time -> median seconds of a step and megapixel,
    over the last two minutes. pace_s: model -> seconds of the device for a step and megapixel, of passes that runs
    shared its part. fingerprints: of the engines of models that are loaded, in exact mode.

    memory_share: used of the device's memory. device_errors: uncorrected ones since the worker started. None: the
    device does not tell.
    """

    num_runs: int = 0
    num_failed: int = 0
    num_not_finite: int = 0
    step_s: Mapping[str, float] = field(default_factory=dict)
    memory_share: float | None = None
    device_errors: int = 0
    temperature_c: float | None = None
    pace_s: Mapping[str, float] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
