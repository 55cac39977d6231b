"""A GPU's sensors through NVIDIA's own library for Python; of its C library only the functions are played."""

import asyncio
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from mezzotint.config import Settings
from mezzotint.domain.gpu import GpuReading
from mezzotint.engine.device import sensors
from mezzotint.engine.device.sensors import GpuSensors, SensorsUnavailable
from mezzotint.main import doctor
from mezzotint.main.worker import SensorWatch
from mezzotint.metrics import Metrics
from tests.unit.test_metrics import sample

UUID = "11111111-2222-3333-4444-555555555555"
SUCCESS, NOT_SUPPORTED, NOT_FOUND, IS_LOST = 0, 3, 6, 15
MIB = 2**20


class Library:
    """The functions of libnvidia-ml that are called, over one card. failing: function -> the error it answers with."""

    def __init__(self) -> None:
        self.temperature, self.milliwatts, self.reasons = 61, 212_500, 0x1 | 0x4
        self.errors = {pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED: 7, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED: 0}
        self.failing: dict[str, int] = {}

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name not in ANSWERS:
            raise AttributeError(name)

        def function(*arguments: Any) -> int:
            if name in self.failing:
                return self.failing[name]
            return ANSWERS[name](self, *arguments)

        return function


def _init(library: Library, flags: int) -> int:
    return SUCCESS


def _driver(library: Library, buffer: Any, size: Any) -> int:
    buffer.value = b"580.65.06"
    return SUCCESS


def _handle(library: Library, uuid: Any, device: Any) -> int:
    return SUCCESS if uuid.value == f"GPU-{UUID}".encode() else NOT_FOUND


def _memory(library: Library, handle: Any, memory: Any) -> int:
    memory._obj.total, memory._obj.used, memory._obj.free = 80 * 1024 * MIB, 1536 * MIB, 0
    return SUCCESS


def _temperature(library: Library, handle: Any, sensor: Any, out: Any) -> int:
    assert sensor.value == pynvml.NVML_TEMPERATURE_GPU
    out._obj.value = library.temperature
    return SUCCESS


def _power(library: Library, handle: Any, out: Any) -> int:
    out._obj.value = library.milliwatts
    return SUCCESS


def _errors(library: Library, handle: Any, kind: Any, counter: Any, out: Any) -> int:
    assert counter.value == pynvml.NVML_VOLATILE_ECC
    out._obj.value = library.errors[kind.value]
    return SUCCESS


def _reasons(library: Library, handle: Any, out: Any) -> int:
    out._obj.value = library.reasons
    return SUCCESS


ANSWERS: dict[str, Callable[..., int]] = {
    "nvmlInitWithFlags": _init,
    "nvmlSystemGetDriverVersion": _driver,
    "nvmlDeviceGetHandleByUUID": _handle,
    "nvmlDeviceGetMemoryInfo": _memory,
    "nvmlDeviceGetTemperature": _temperature,
    "nvmlDeviceGetPowerUsage": _power,
    "nvmlDeviceGetTotalEccErrors": _errors,
    "nvmlDeviceGetCurrentClocksEventReasons": _reasons,
}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    played = Library()
    monkeypatch.setattr(pynvml, "nvmlLib", played)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(sensors, "list_gpus", lambda: ["another", UUID])
    return played


def test_the_card_is_found_by_its_uuid_and_all_its_sensors_are_read(library: Library) -> None:
    opened = GpuSensors.open("cuda:1")
    assert opened.driver == "580.65.06"
    assert opened.read() == GpuReading(
        used_bytes=1536 * MIB,
        total_bytes=80 * 1024 * MIB,
        temperature_c=61,
        power_w=212.5,
        corrected_errors=7,
        uncorrected_errors=0,
        throttled_by=("power_cap",),
    )


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (0x0, ()),
        (0x1 | 0x2 | 0x10 | 0x100, ()),  # idle, clocks that somebody chose
        (0x8 | 0x20 | 0x40, ("hardware", "heat_software", "heat_hardware")),
        (0x80, ("power_brake",)),
    ],
)
def test_only_what_holds_a_card_back_against_its_will_is_throttling(
    library: Library, reasons: int, told: tuple[str, ...]
) -> None:
    library.reasons = reasons
    assert GpuSensors.open("cuda:1").read().throttled_by == told


@pytest.mark.parametrize("code", [NOT_SUPPORTED, IS_LOST])
def test_a_sensor_that_does_not_answer_is_left_out(library: Library, code: int) -> None:
    opened = GpuSensors.open("cuda:1")
    library.failing = {name: code for name in ANSWERS if name.startswith("nvmlDeviceGet")}
    assert opened.read() == GpuReading()


def test_a_driver_without_a_function_costs_that_sensor_alone(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = GpuSensors.open("cuda:1")
    monkeypatch.delitem(ANSWERS, "nvmlDeviceGetCurrentClocksEventReasons")
    reading = opened.read()
    assert reading.throttled_by == ()
    assert reading.temperature_c == 61


def test_without_the_library_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(SensorsUnavailable, match=r"pip install 'mezzotint\[nvml\]'"):
        GpuSensors.open("cuda:0")


def test_without_a_driver_the_reason_is_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any) -> Any:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", missing)
    monkeypatch.setattr(sensors, "list_gpus", lambda: [UUID])
    with pytest.raises(SensorsUnavailable, match="NVML Shared Library Not Found"):
        GpuSensors.open("cuda:0")


def test_a_reading_becomes_metrics_of_its_card(library: Library) -> None:
    metrics = Metrics()
    metrics.gpu("cuda:1", GpuSensors.open("cuda:1").read())
    names = ("gpu_memory_used_bytes", "gpu_memory_bytes", "gpu_temperature_celsius", "gpu_power_watts")
    assert [sample(metrics, name, gpu="cuda:1") for name in names] == [1536 * MIB, 80 * 1024 * MIB, 61, 212.5]
    assert sample(metrics, "gpu_memory_errors", gpu="cuda:1", kind="corrected") == 7
    assert sample(metrics, "gpu_throttled", gpu="cuda:1", reason="power_cap") == 1
    metrics.gpu("cuda:1", GpuReading())
    assert sample(metrics, "gpu_throttled", gpu="cuda:1", reason="power_cap") is None
    assert sample(metrics, "gpu_temperature_celsius", gpu="cuda:0") is None


def doctors_line(monkeypatch: pytest.MonkeyPatch, device: str = "cuda:1") -> list[doctor.Finding]:
    from mezzotint.engine.device import choice

    monkeypatch.setattr(choice, "process_device", lambda wanted: device)
    return list(doctor._sensors(Settings()))


def test_the_doctor_shows_the_sensors_and_says_what_to_do_about_failing_memory(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = doctors_line(monkeypatch)
    told = "driver 580.65.06, 1.5 of 80.0 GiB in use, 61 °C, 212 W, memory errors: 7 corrected, 0 not"
    assert (line.found, line.advice) == (f"{told}, throttled: power_cap", "")
    library.errors[pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED] = 2
    (line,) = doctors_line(monkeypatch)
    assert "replace the card" in line.advice
    assert not line.is_fatal


@pytest.mark.parametrize(("reason", "advice"), [(0x40, "too hot"), (0x80, "power supply"), (0x4, "")])
def test_the_doctor_has_advice_for_what_can_be_mended(
    library: Library, monkeypatch: pytest.MonkeyPatch, reason: int, advice: str
) -> None:
    library.reasons = reason
    (line,) = doctors_line(monkeypatch)
    assert advice in line.advice
    assert bool(line.advice) == bool(advice)


def test_the_doctor_says_what_to_install_and_nothing_of_a_machine_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    (line,) = doctors_line(monkeypatch)
    assert "mezzotint[nvml]" in line.found
    assert not line.is_fatal
    assert doctors_line(monkeypatch, device="cpu") == []


def watch(monkeypatch: pytest.MonkeyPatch, device: str) -> tuple[SensorWatch, Any]:
    """A watch over a worker that has chosen this device; and the worker."""
    from mezzotint.engine.device import choice

    monkeypatch.setattr(choice, "process_device", lambda wanted: device)
    worker: Any = SimpleNamespace(is_ready=False, drain=None, backing=SimpleNamespace(metrics=Metrics()))
    return SensorWatch(Settings(), worker), worker


def test_a_worker_reads_its_gpu_once_it_is_ready(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    watching, worker = watch(monkeypatch, "cuda:1")
    asyncio.run(watching.read_when_ready())
    assert sample(worker.backing.metrics, "gpu_temperature_celsius", gpu="cuda:1") is None
    worker.is_ready = True
    for temperature in (61, 64):
        library.temperature = temperature
        asyncio.run(watching.read_when_ready())
        assert sample(worker.backing.metrics, "gpu_temperature_celsius", gpu="cuda:1") == temperature


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_worker_without_sensors_reads_nothing_and_works_on(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    watching, worker = watch(monkeypatch, device)
    worker.is_ready = True
    for _ in range(2):
        asyncio.run(watching.read_when_ready())
    assert sample(worker.backing.metrics, "gpu_temperature_celsius", gpu=device) is None
