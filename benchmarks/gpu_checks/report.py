"""What the checks are given, what they find, and how that is told: a table and one JSON document."""

import json
import os
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch

from gpu_checks.models import Size
from mezzotint.engine.device.choice import describe_device, has_bfloat16
from mezzotint.engine.numerics import Numerics, driver_version, fingerprint
from mezzotint.environment import cublas_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """device: where the checks compute. folder: an empty one for files."""

    device: torch.device
    size: Size
    folder: Path

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """The one that large models compute in here."""
        if not self.is_gpu:
            return torch.float32
        return torch.bfloat16 if has_bfloat16(str(self.device)) else torch.float16

    def side_px(self, full: int) -> int:
        """Side of the pictures: `full` at full size, else 64."""
        return full if self.size is Size.FULL else 64

    def numerics(self, *, exact: bool, dtype: torch.dtype | None = None, fixed_rows: int | None = None) -> Numerics:
        return Numerics(device=self.device, dtype=dtype or self.dtype, exact=exact, fixed_rows=fixed_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """failures: what was not as expected; none: the check passed. stands_in: what a CPU was asked instead, or what was
    not judged on it; empty on a GPU."""

    found: str
    failures: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    stands_in: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    number: int
    name: str
    expected: str
    make: Callable[[Setup], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    number: int
    name: str
    expected: str
    passed: bool
    found: str
    failures: tuple[str, ...]
    stands_in: str
    figures: dict[str, Any]
    seconds: float


def run_checks(checks: Sequence[Check], setup: Setup, *, limit_s: float) -> list[Result]:
    """Make the checks in their order and print each. One that raises has failed; none begins after `limit_s`."""
    results = []
    begun = time.monotonic()
    for check in checks:
        at = time.monotonic()
        if at - begun > limit_s:
            finding = Finding(found="not made", failures=(f"the {limit_s:.0f} s were over",))
        else:
            finding = _make(check, setup)
        result = Result(
            number=check.number,
            name=check.name,
            expected=check.expected,
            passed=not finding.failures,
            found=finding.found,
            failures=finding.failures,
            stands_in=finding.stands_in if not setup.is_gpu else "",
            figures=finding.figures,
            seconds=round(time.monotonic() - at, 1),
        )
        print(describe(result), flush=True)
        results.append(result)
        if setup.is_gpu:
            torch.cuda.empty_cache()
    return results


def _make(check: Check, setup: Setup) -> Finding:
    try:
        return check.make(setup)
    except Exception as error:  # noqa: BLE001 - the next check may still say something
        lines = traceback.format_exception(error)
        return Finding(
            found="an error", failures=(f"{type(error).__name__}: {error}",), figures={"traceback": "".join(lines)}
        )


def describe(result: Result) -> str:
    """The rows of one check in the table."""
    mark = "ok  " if result.passed else "FAIL"
    rows = [f"{result.number:2}  {mark}  {result.name}  ({result.seconds} s)", f"          expected  {result.expected}"]
    rows.append(f"          found     {result.found}")
    rows += [f"          NOT SO    {failure.strip().splitlines()[0]}" for failure in result.failures]
    if result.stands_in:
        rows.append(f"          on a CPU  {result.stands_in}")
    return "\n".join(rows)


def document(results: Sequence[Result], setup: Setup, seconds: float) -> dict[str, Any]:
    """Everything that was found, with what it was found on."""
    return {
        "passed": sum(result.passed for result in results),
        "of": len(results),
        "device": str(setup.device),
        "size": setup.size.value,
        "seconds": round(seconds, 1),
        "hardware": describe_hardware(setup.device),
        "versions": describe_versions(setup),
        "checks": [asdict(result) for result in results],
    }


def describe_hardware(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {
        "device": describe_device(str(device)),
        "cores": os.cpu_count(),
        "load_average_at_start": os.getloadavg()[0],
    }
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        found |= {"card": torch.cuda.get_device_name(device), "memory_bytes": total, "free_bytes_at_start": free}
    return found


def describe_versions(setup: Setup) -> dict[str, Any]:
    """The driver, the libraries, and the facts by which checkpoints are refused."""
    return {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if setup.is_gpu else None,
        "driver": driver_version(),
        "fingerprint": fingerprint(setup.numerics(exact=True), "", cublas_workspace()),
        "environment": {
            name: os.environ.get(name) for name in ("CUBLAS_WORKSPACE_CONFIG", "PYTORCH_ALLOC_CONF", "OMP_NUM_THREADS")
        },
    }


def write(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
