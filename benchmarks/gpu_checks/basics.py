"""Checks 1 to 3: the environment, the starter model against stock diffusers, and merging in fast mode."""

from typing import Any

import torch
from torch.nn import functional

from gpu_checks.drive import draw, load_starter, picture_of, starter_request
from gpu_checks.models import FAMILIES, Size, make
from gpu_checks.report import Check, Finding, Setup
from mezzotint.engine import Hub, PreviewMap
from mezzotint.engine.device.choice import try_kernels
from mezzotint.engine.models.catalog import Dtype
from mezzotint.engine.numerics import Numerics, is_finite

MOST_LEVELS = 2
STEPS = {Size.FULL: 20, Size.TOY: 3}


def check_environment(setup: Setup) -> Finding:
    failures = []
    dtypes = (torch.float32, torch.float16, torch.bfloat16)
    for dtype in dtypes:
        try_kernels(str(setup.device), dtype)  # raises with the reason
    before = _read_flags()
    for device in (torch.device("cuda"), torch.device("cpu")):
        numerics = Numerics(device=device, dtype=torch.float32, exact=True, fixed_rows=2)
        with numerics.kernels(), numerics.pass_kernels():
            inside = _read_flags()
        if inside == before:
            failures.append(f"exact mode changed no flag for {device.type}")
        if _read_flags() != before:
            failures.append(f"exact mode did not put back the flags for {device.type}")
    names = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
    return Finding(
        found=f"products, convolutions and attention are right in {names}; exact mode puts {len(before)} flags back",
        failures=tuple(failures),
        figures={"flags": {name: str(value) for name, value in before.items()}},
        stands_in="the same, with the CPU's kernels; the flags of CUDA are set and put back here, too",
    )


def check_starter(setup: Setup) -> Finding:
    dtype = Dtype.FLOAT16 if setup.is_gpu else Dtype.AUTO
    steps = STEPS[setup.size]
    pipeline = load_starter(setup.device, dtype)
    stock = picture_of(pipeline(**starter_request(0, steps)))
    (run,) = draw(Hub(pipeline, exact=False), [starter_request(0, steps)])
    drawn = picture_of(run.output)
    levels = float((drawn - stock).abs().max()) * 255
    previews = PreviewMap.fit(pipeline.vae)
    failures = []
    if not is_finite(drawn):
        failures.append("the picture is not finite")
    if not levels <= MOST_LEVELS:
        failures.append(f"{levels:.2f} of 255 levels from stock")
    if previews.matrix is None:
        failures.append("no map for previews could be fitted")
    shown = "a map for previews" if previews.matrix is not None else "no map for previews"
    return Finding(
        found=f"{levels:.3f} of 255 levels from stock, {shown}",
        failures=tuple(failures),
        figures={"levels": levels, "dtype": str(pipeline.unet.dtype)},
        stands_in="in float32",
    )


def check_merging(setup: Setup) -> Finding:
    failures, figures = [], {}
    requests: list[Any] = [starter_request(i, 3 + i) for i in range(4)]
    figures["starter"] = _merge(load_starter(setup.device), requests)
    for family in FAMILIES:
        made = make(family, setup.device, setup.dtype, Size.TOY)
        figures[family.name] = _merge(made.pipeline, [made.request(i, 3 + i, 64) for i in range(4)])
    for name, found in figures.items():
        if not found["merged"]:
            failures.append(f"{name}: no pass was shared")
        if set(found["verdicts"]) != {"same"}:
            failures.append(f"{name}: verdicts {found['verdicts']}")
        if found["unmerged"]:
            failures.append(f"{name}: {found['unmerged']}")
    shared = ", ".join(f"{name} {found['merged']} of {found['passes']}" for name, found in figures.items())
    return Finding(found=f"shared passes: {shared}", failures=tuple(failures), figures=figures, stands_in="in float32")


def _merge(pipeline: Any, requests: list[dict[str, Any]]) -> dict[str, Any]:
    verdicts: dict[str, str] = {}
    hub = Hub(pipeline, exact=False, verdicts=verdicts)
    draw(hub, requests)
    return {
        "passes": hub.num_passes,
        "merged": hub.num_merged,
        "verdicts": sorted(verdicts.values()),
        "unmerged": dict(hub.unmerged_reasons),
    }


def _read_flags() -> dict[str, Any]:
    """The process-wide flags that exact mode sets, and the functions that it replaces."""
    cuda: Any = torch.backends.cuda
    names = ("enabled", "benchmark", "deterministic", "allow_tf32")
    flags = {f"cudnn.{name}": getattr(torch.backends.cudnn, name) for name in names}
    for dtype in ("fp16", "bf16"):
        name = f"allow_{dtype}_reduced_precision_reduction"
        flags |= {name: getattr(cuda.matmul, name), f"{name}_split_k": getattr(cuda.matmul, f"{name}_split_k")}
    flags["matmul.fp32_precision"] = cuda.matmul.fp32_precision
    flags |= {
        "flash": cuda.flash_sdp_enabled(),
        "efficient": cuda.mem_efficient_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
        "cudnn attention": cuda.cudnn_sdp_enabled(),
        "attention's order": tuple(torch._C._get_sdp_priority_order()),
        "linear": functional.linear,
        "conv2d": functional.conv2d,
        "silu": functional.silu,
    }
    return flags


CHECKS = (
    Check(
        number=1,
        name="environment",
        expected="kernels in float32, float16 and bfloat16 agree with the host's; exact mode puts its flags back",
        make=check_environment,
    ),
    Check(
        number=2,
        name="starter model against stock",
        expected=f"at most {MOST_LEVELS} of 255 levels apart, finite; previews have a map",
        make=check_starter,
    ),
    Check(
        number=3,
        name="merging in fast mode",
        expected="4 runs at unequal steps share passes; every verdict is `same`; no call is left out",
        make=check_merging,
    ),
)
