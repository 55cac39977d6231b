"""Read a GPU's sensors through NVIDIA's management library (NVML), where the extra `nvml` and a driver are there."""

import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from mezzotint.domain.gpu import GpuReading
from mezzotint.engine.device.choice import list_gpus

THROTTLES = {
    "SwPowerCap": "power_cap",
    "HwSlowdown": "hardware",
    "SwThermalSlowdown": "heat_software",
    "HwThermalSlowdown": "heat_hardware",
    "HwPowerBrakeSlowdown": "power_brake",
}
"""NVML's reasons for lower clocks -> ours. Idleness, and clocks that somebody chose, are no faults."""
INSTALL = "pip install 'mezzotint[nvml]'"


class SensorsUnavailable(Exception):
    """The reason why a device's sensors cannot be read, in words."""


class GpuSensors:
    """The sensors of one CUDA device. `read` may be called from any thread; it takes about a millisecond."""

    def __init__(self, nvml: Any, handle: Any, driver: str) -> None:
        self.driver = driver
        self._nvml = nvml
        self._handle = handle
        self._lock = threading.Lock()

    @classmethod
    def open(cls, device: str) -> "GpuSensors":
        """device: `cuda:N`. NVML counts GPUs in another order than CUDA, so that the card is found by its UUID.

        Raises: SensorsUnavailable.
        """
        try:
            nvml: Any = import_module("pynvml")
        except ImportError:
            raise SensorsUnavailable(f"not installed; {INSTALL}") from None
        number = int(device.removeprefix("cuda:"))
        try:
            nvml.nvmlInit()
            handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{list_gpus()[number]}".encode())
            return cls(nvml, handle, str(nvml.nvmlSystemGetDriverVersion()))
        except nvml.NVMLError as error:
            raise SensorsUnavailable(f"NVIDIA's driver does not answer: {error}") from error

    def read(self) -> GpuReading:
        nvml, ask = self._nvml, self._ask
        with self._lock:
            memory = ask(nvml.nvmlDeviceGetMemoryInfo)
            milliwatts = ask(nvml.nvmlDeviceGetPowerUsage)
            reasons = ask(nvml.nvmlDeviceGetCurrentClocksEventReasons) or 0
            return GpuReading(
                used_bytes=None if memory is None else int(memory.used),
                total_bytes=None if memory is None else int(memory.total),
                temperature_c=ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
                power_w=None if milliwatts is None else milliwatts / 1000,
                corrected_errors=self._count_errors(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
                uncorrected_errors=self._count_errors(nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
                throttled_by=tuple(
                    ours for name, ours in THROTTLES.items() if reasons & getattr(nvml, f"nvmlClocksEventReason{name}")
                ),
            )

    def _count_errors(self, kind: int) -> int | None:
        count: int | None = self._ask(self._nvml.nvmlDeviceGetTotalEccErrors, kind, self._nvml.NVML_VOLATILE_ECC)
        return count

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The library's answer; None where the card cannot give it, or is lost."""
        try:
            return function(self._handle, *arguments)
        except (self._nvml.NVMLError, self._nvml.NVMLLibraryMismatchError):
            return None
