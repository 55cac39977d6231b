"""Checks 4 to 6: slots of a filled pass, exact mode end to end, and its cost."""

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpu_checks.drive import benchmarks_folder, digest, draw, finish, load_starter, starter_request
from gpu_checks.models import FAMILIES, FLUX, SDXL, Family, Made, Size, make
from gpu_checks.report import Check, Finding, Setup
from mezzotint.engine import Hub
from mezzotint.engine.batching.merge import Layout, merge, rows_of
from mezzotint.engine.proxy import Call

SLOTS = 16
FIXED_ROWS = 4
LONE_RATIO = 1.3
CHILD_S = 240
STEPS = {Size.FULL: 20, Size.TOY: 4}
BACKENDS = (SDPBackend.MATH, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.FLASH_ATTENTION)


def check_slots(setup: Setup) -> Finding:
    """The same row in every slot of a pass must give the same bits wherever it lies."""
    dtypes = (torch.float16, torch.bfloat16) if setup.is_gpu else (torch.float32,)
    table: dict[str, str] = {}
    failures = []
    for family in (SDXL, FLUX):
        made = make(family, setup.device, setup.dtype, setup.size)
        call = first_call(made, setup.side_px(512))
        for dtype in dtypes:
            call = cast_call(call, dtype)
            name = f"{family.name} {str(dtype).removeprefix('torch.')}"
            exact = setup.numerics(exact=True, dtype=dtype, fixed_rows=SLOTS)
            with exact.kernels(), exact.pass_kernels():
                table[f"{name}, as exact mode computes"] = found = compare_slots(call)
            if found != "equal":
                failures.append(f"{name}: {found} under exact mode's settings, so that runs there share no pass")
            for backend in BACKENDS:
                for splits in (True, False):
                    label = f"{name}, {backend.name.lower()}, split-K {'on' if splits else 'off'}"
                    with _settings(backend, splits=splits):
                        table[label] = compare_slots(call)
        del made, call
    equal = sum(found == "equal" for found in table.values())
    none = sum(found == "not available" for found in table.values())
    return Finding(
        found=f"equal bits in {SLOTS} slots: {equal} of {len(table) - none} settings (figures: slots)",
        failures=tuple(failures),
        figures={"slots": table},
        stands_in="in float32, whose exact mode has other kernels; split-K is CUDA's alone",
    )


def first_call(made: Made, side_px: int, number: int = 0) -> Call:
    """The first denoiser call of request `number`."""
    caught: list[Call] = []

    class Caught(Exception):
        pass

    def catch(module: Any, args: Any, kwargs: Any) -> None:
        caught.append(Call(module, args, kwargs, None))
        raise Caught

    handle = made.denoiser.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        made.pipeline(**made.request(number, 2, side_px))
    except Caught:
        pass
    finally:
        handle.remove()
    return caught[0]


def widen(call: Call, times: int) -> Call:
    """The call, merged with copies of itself."""
    merged = merge([call] * times, Layout(), expand_all=True)
    return Call(call.module, merged.args, merged.kwargs, call.cache_context)


def cast_call(call: Call, dtype: torch.dtype) -> Call:
    call.module.to(dtype)

    def cast(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim > 1:
            return value.to(dtype)
        return {k: cast(v) for k, v in value.items()} if isinstance(value, dict) else value

    return Call(call.module, tuple(map(cast, call.args)), cast(call.kwargs), call.cache_context)


def compare_slots(call: Call) -> str:
    """`equal`, `not available` or the slots that differ from the first."""
    wide = widen(call, SLOTS // rows_of(call))
    try:
        with torch.no_grad():
            output = wide.module(*wide.args, **wide.kwargs)[0]
    except torch.OutOfMemoryError:
        return "no memory"
    except RuntimeError as error:
        if "backend" in str(error) or "No available kernel" in str(error):
            return "not available"
        raise
    own = rows_of(call)
    parts = torch.split(output, own)
    odd = [str(i) for i, part in enumerate(parts) if not torch.equal(part, parts[0])]
    return "equal" if not odd else f"slots {', '.join(odd)} differ"


@contextmanager
def _settings(backend: SDPBackend, *, splits: bool) -> Iterator[None]:
    matmul: Any = torch.backends.cuda.matmul
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel([backend]))
        for dtype in ("fp16", "bf16"):
            name = f"allow_{dtype}_reduced_precision_reduction"
            stack.callback(setattr, matmul, name, (getattr(matmul, name), getattr(matmul, f"{name}_split_k")))
            setattr(matmul, name, (False, splits))
        yield


def check_exact(setup: Setup) -> Finding:
    """One picture alone, in company, and resumed by another process."""
    steps = STEPS[setup.size]
    pipeline = load_starter(setup.device)

    (alone,) = draw(_exact_hub(pipeline), [starter_request(0, steps)])
    together_in = _exact_hub(pipeline)
    together = draw(together_in, [starter_request(i, steps + i % 3) for i in range(8)])[0]
    resumed = ask_fresh_process(setup)["resumed"]
    digests = {"alone": digest(alone), "with 7 others": digest(together), "resumed elsewhere": resumed["digest"]}
    failures = []
    if len(set(digests.values())) > 1:
        failures.append(f"the bits differ: {digests}")
    if resumed["num_replayed"] == 0:
        failures.append("the other process began from noise")
    return Finding(
        found=f"{len(set(digests.values()))} distinct of 3 pictures; {together_in.num_merged} shared passes",
        failures=tuple(failures),
        figures={"digests": digests, "merged": together_in.num_merged, **resumed},
        stands_in="the CPU's exact mode, whose passes have any width",
    )


def _exact_hub(pipeline: Any) -> Hub:
    return Hub(pipeline, exact=True, fixed_rows=FIXED_ROWS)


@functools.cache
def ask_fresh_process(setup: Setup) -> dict[str, Any]:
    """What a process answers that has computed nothing yet: see `fresh_process.py`. It is started once."""
    steps, file = STEPS[setup.size], setup.folder / "checkpoint"
    hub = _exact_hub(load_starter(setup.device))
    saved = hub.submit(starter_request(0, steps), checkpoint_at=steps // 2)
    finish(hub, saved)
    file.write_bytes(saved.checkpoint or b"")
    path = os.pathsep.join([str(benchmarks_folder()), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "gpu_checks.fresh_process", str(setup.device), str(file), str(steps)]
    done = subprocess.run(
        [*command, str(FIXED_ROWS)],
        capture_output=True,
        text=True,
        timeout=CHILD_S,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode != 0:
        raise RuntimeError(f"the new process ended with {done.returncode}: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def check_cost(setup: Setup) -> Finding:
    """Seconds and memory of passes of one run's rows and of four runs', as each mode computes them."""
    figures, failures, told = {}, [], []
    for family in FAMILIES:
        found = measure_family(setup, family)
        figures[family.name] = found
        ratio = found["exact_over_fast_lone"]
        told.append(f"{family.name} {ratio:.2f} ({found['filled_over_fast_lone']:.2f} filled)")
        if not found["is_finite"]:
            failures.append(f"{family.name}: the output is not finite")
        if setup.is_gpu and not ratio <= LONE_RATIO:
            failures.append(f"{family.name}: a lone run's pass costs {ratio:.2f} times as much in exact mode")
    return Finding(
        found="exact over fast, seconds of a lone run's pass: " + ", ".join(told),
        failures=tuple(failures),
        figures=figures,
        stands_in="computed and finite; seconds are not judged, and a CPU tells no memory",
    )


def measure_family(setup: Setup, family: Family) -> dict[str, Any]:
    made = make(family, setup.device, setup.dtype, setup.size)
    call = first_call(made, setup.side_px(1024))
    own, found = rows_of(call), {"share_of_blocks": made.share, "is_finite": True}
    for times in (1, 4):
        wide = widen(call, times)
        for mode in ("fast", "exact"):
            numerics = setup.numerics(exact=mode == "exact", fixed_rows=own * times if mode == "exact" else None)
            with numerics.kernels(), numerics.pass_kernels():
                name = f"{mode}_{own * times}_rows"
                found[name] = time_pass(setup, lambda wide=wide: wide.module(*wide.args, **wide.kwargs)[0])
                found["is_finite"] &= found[name].pop("is_finite")
    lone = found[f"fast_{own}_rows"]["seconds"]
    found["exact_over_fast_lone"] = found[f"exact_{own}_rows"]["seconds"] / lone
    found["filled_over_fast_lone"] = found[f"exact_{4 * own}_rows"]["seconds"] / lone
    return found


def time_pass(setup: Setup, work: Callable[[], torch.Tensor], repeats: int = 3) -> dict[str, Any]:
    """Least seconds of some calls after one that is not counted, and the memory that they take beyond the weights."""
    numerics, seconds, peak = setup.numerics(exact=False), [], None
    with torch.no_grad():
        work()
        if setup.is_gpu:
            torch.cuda.reset_peak_memory_stats(setup.device)
            base = torch.cuda.memory_allocated(setup.device)
        for _ in range(repeats):
            numerics.synchronize()
            begun = time.perf_counter()
            output = work()
            numerics.synchronize()
            seconds.append(time.perf_counter() - begun)
    if setup.is_gpu:
        peak = torch.cuda.max_memory_allocated(setup.device) - base
    return {"seconds": min(seconds), "peak_bytes": peak, "is_finite": bool(torch.isfinite(output).all())}


CHECKS = (
    Check(
        number=4,
        name="slots of a pass",
        expected=f"one row has the same bits in each of {SLOTS} slots as exact mode computes, for a UNet and a DiT",
        make=check_slots,
    ),
    Check(
        number=5,
        name="exact mode end to end",
        expected="alone, with 7 others and resumed in a new process: one SHA-256",
        make=check_exact,
    ),
    Check(
        number=6,
        name="cost of exact mode",
        expected=f"a lone run's pass takes at most {LONE_RATIO} times as long in exact mode, at 1024 px",
        make=check_cost,
    ),
)
