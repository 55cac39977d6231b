"""Choose the device of this process, lock it, and try its kernels before a job does.

A process computes on one device. A GPU belongs to one process at a time: a lock on a file named by the GPU's UUID holds
it for the process's life, whatever number CUDA_VISIBLE_DEVICES gives the GPU.
"""

import fcntl
import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import structlog
import torch
from torch.nn import functional

from mezzotint.domain.errors import DeviceBusy, DeviceMissing

DRIVER_NODES = ("/dev/nvidia[0-9]*", "/dev/kfd")
"""Device files of a machine that has a GPU, whether or not PyTorch can use it."""
BFLOAT16_CAPABILITY = (8, 0)
TRIED_SIDE = 64
log = structlog.get_logger()


def choose_device(wanted: str, lock_folder: Path | None = None) -> str:
    """Choose a device and lock it until the process ends. Returns `cpu` or `cuda:N`.

    wanted: `auto`, `cpu`, `cuda` (the first GPU that no other process has) or `cuda:N`. lock_folder: default: the
    machine's folder of temporary files. Raises: DeviceMissing, DeviceBusy.
    """
    if wanted == "cpu":
        return "cpu"
    gpus = list_gpus()
    if wanted == "auto" and not gpus:
        reason = unused_gpu()
        if reason is not None:
            log.warning("a GPU is there and is not used: the model runs on the CPU", reason=reason)
        return "cpu"
    if not gpus:
        raise DeviceMissing(unused_gpu() or "PyTorch sees no CUDA device")
    numbers = list(range(len(gpus)))
    if wanted.startswith("cuda:"):
        number = int(wanted.removeprefix("cuda:"))
        if number not in numbers:
            raise DeviceMissing(f"there is no {wanted}: PyTorch sees {len(gpus)} CUDA devices")
        numbers = [number]
    folder = lock_folder or Path(tempfile.gettempdir())
    for number in numbers:
        if _lock(folder / f"mezzotint-{gpus[number]}.lock"):
            return f"cuda:{number}"
    names = ", ".join(f"cuda:{number}" for number in numbers)
    raise DeviceBusy(f"another process of Mezzotint computes on {names}")


process_device = functools.cache(choose_device)
"""The device of this process, chosen at the first call."""


def list_gpus() -> list[str]:
    """UUIDs of the CUDA devices that PyTorch sees, by number."""
    if not torch.cuda.is_available():
        return []
    return [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]


def unused_gpu() -> str | None:
    """The reason why PyTorch does not use the GPU of this machine; None where there is none, or where it is hidden."""
    if torch.cuda.is_available() or not torch.cuda._parse_visible_devices():  # CUDA_VISIBLE_DEVICES hides it
        return None
    nodes = [str(node) for pattern in DRIVER_NODES for node in sorted(Path("/").glob(pattern.removeprefix("/")))]
    if not nodes:
        return None
    if torch.version.cuda is None and torch.version.hip is None:
        return f"{nodes[0]} is a GPU, but this PyTorch ({torch.__version__}) is built for CPUs alone"
    wants = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    return f"{nodes[0]} is a GPU, but PyTorch ({wants}) cannot use it: the driver is too old, or does not run"


def describe_device(device: str) -> str:
    """The device in words: a GPU's name, memory and capability, or a CPU's vector extension and threads."""
    if device == "cpu":
        return f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, sm_{found.major}{found.minor}"


def has_bfloat16(device: str) -> bool:
    """Say whether the device computes in bfloat16 without emulation."""
    if device == "cpu":
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= BFLOAT16_CAPABILITY


def try_kernels(device: str, dtype: torch.dtype) -> None:
    """Compute a product, a convolution and an attention, and compare them with the host's. Raises: DeviceMissing."""
    tolerance = 0.05 if dtype.itemsize < 4 else 1e-3
    for name, expected, found in _compute_samples(device, dtype):
        if not torch.isfinite(found).all() or (found - expected).abs().max() > tolerance * expected.abs().max():
            raise DeviceMissing(f"{device} computes a wrong {name} in {str(dtype).removeprefix('torch.')}")


def _compute_samples(device: str, dtype: torch.dtype) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Name, the host's float32 result, the device's result."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 4, TRIED_SIDE, TRIED_SIDE)
    picture = torch.randn(shape, generator=generator).to(dtype)
    kernel = torch.randn((4, 4, 3, 3), generator=generator).to(dtype)
    there, kernel_there = picture.to(device), kernel.to(device)
    host = picture.float()
    try:
        product, convolved = there @ there, functional.conv2d(there, kernel_there)
        attended = functional.scaled_dot_product_attention(there, there, there)
        return [
            ("product", host @ host, product.float().cpu()),
            ("convolution", functional.conv2d(host, kernel.float()), convolved.float().cpu()),
            ("attention", functional.scaled_dot_product_attention(host, host, host), attended.float().cpu()),
        ]
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise DeviceMissing(f"{device} does not compute: {reason}") from error


_locks: list[Any] = []
"""Files whose locks hold the devices of this process, until it ends."""


def _lock(path: Path) -> bool:
    """Hold the lock on a file that all users of the machine share."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    _locks.append(descriptor)
    return True
