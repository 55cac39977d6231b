"""Checks 10 and 11: how often the device is waited for, and widths and graphs of a cold process."""

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._inductor.compile_fx import compile_fx
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from gpu_checks.drive import draw, turn_until_idle
from gpu_checks.exactness import ask_fresh_process, first_call, widen
from gpu_checks.models import SD3, SDXL, Made, Size, make
from gpu_checks.report import Check, Finding, Setup
from mezzotint.engine import Hub
from mezzotint.engine.batching.merge import rows_of
from mezzotint.engine.models.compiled import compile_denoiser

WAITS_A_TURN = 2
BUSY_SHARE = 0.95
METER_ERROR = 0.02
MAX_GRAPHS = 3
WIDTHS = (1, 2, 4, 8, 16)
STEPS = {Size.FULL: 10, Size.TOY: 4}
READS = ("_local_scalar_dense", "equal", "is_nonzero", "nonzero")
"""Operations of torch that give a value of a tensor to Python: on a device each waits for it."""


class Reads(TorchDispatchMode):
    """Counts values that Python reads from tensors, on any device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ in READS
        return func(*args, **(kwargs or {}))


def check_waits(setup: Setup) -> Finding:
    made = make(SDXL, setup.device, setup.dtype, setup.size)
    steps, side_px = STEPS[setup.size], setup.side_px(1024)
    own = _count_waits(setup, lambda: made.pipeline(**made.request(0, steps, side_px)))
    failures, figures, told = [], {"stock": own}, []
    for num_runs in (1, 8):
        found = _measure_turns(setup, made, num_runs, steps, side_px)
        figures[f"{num_runs} runs"] = found
        extra = found["waits"] - own * num_runs
        bound = WAITS_A_TURN * found["turns"] + found["allowed_a_step"] * num_runs * steps
        told.append(f"{num_runs} runs: {extra / found['turns']:.1f} a turn")
        if extra > bound:
            failures.append(f"{num_runs} runs: {extra} waits beyond stock's in {found['turns']} turns, not {bound}")
        if setup.is_gpu and abs(found["metered_over_measured"] - 1) > METER_ERROR:
            failures.append(f"{num_runs} runs: the meter says {found['metered_over_measured']:.3f} of what events do")
    if setup.is_gpu:
        figures["busy_share"] = busy = _measure_busy(made, steps, side_px)
        told.append(f"busy {busy:.1%}")
        if busy < BUSY_SHARE:
            failures.append(f"the device is busy {busy:.1%} of the time")
    return Finding(
        found="waits beyond stock's: " + ", ".join(told),
        failures=tuple(failures),
        figures=figures,
        stands_in="values read from tensors are counted; busy time and the meter are not judged",
    )


def _measure_turns(setup: Setup, made: Made, num_runs: int, steps: int, side_px: int) -> dict[str, Any]:
    """Turns of some runs in a hub that has verified and is warm."""
    hub = Hub(made.pipeline, exact=False)
    draw(hub, [made.request(i, 2, side_px) for i in range(num_runs)])
    for i in range(num_runs):
        hub.submit(made.request(i, steps, side_px))
    turns: list[int] = []
    spent: list[float] = []
    before_s, begun = hub.pass_s, time.perf_counter()
    with _time_passes(setup, made, spent):
        waits = _count_waits(setup, lambda: turns.append(turn_until_idle(hub)))
    return {
        "turns": turns[0],
        "waits": waits,
        "allowed_a_step": 1 if setup.is_gpu else 2,  # a CPU's timesteps are compared by their values: nothing waits
        "metered_over_measured": (hub.pass_s - before_s) / max(sum(spent), 1e-9),
        "measured_s": sum(spent),
        "wall_s": time.perf_counter() - begun,
    }


def _count_waits(setup: Setup, work: Callable[[], Any]) -> int:
    """Times that Python waits for the device: unasked ones by CUDA's own count, and calls of `synchronize`."""
    if not setup.is_gpu:
        with Reads() as reads:
            work()
        return reads.count
    asked: Counter[str] = Counter()
    real = torch.cuda.synchronize

    def synchronize(*args: Any, **kwargs: Any) -> None:
        asked["synchronize"] += 1
        real(*args, **kwargs)

    torch.cuda.synchronize = synchronize
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize = real
    return asked["synchronize"] + sum("synchronizing" in str(warning.message) for warning in caught)


@contextlib.contextmanager
def _time_passes(setup: Setup, made: Made, spent: list[float]) -> Iterator[None]:
    """Add the seconds of every pass to `spent`: by events on a GPU, which wait for nothing until the end."""
    marks: list[tuple[Any, Any]] = []

    def mark() -> Any:
        if not setup.is_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    begun: list[Any] = []
    handles = [
        made.denoiser.register_forward_pre_hook(lambda *_: begun.append(mark())),
        made.denoiser.register_forward_hook(lambda *_: marks.append((begun.pop(), mark()))),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        if setup.is_gpu:
            torch.cuda.synchronize(setup.device)
        spent += [first.elapsed_time(last) / 1e3 if setup.is_gpu else last - first for first, last in marks]


def _measure_busy(made: Made, steps: int, side_px: int) -> float:
    """The share of the time in which a kernel runs, from the first pass to the last of 8 runs."""
    hub = Hub(made.pipeline, exact=False)
    draw(hub, [made.request(i, 2, side_px) for i in range(8)])
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        begun = time.perf_counter()
        draw(hub, [made.request(i, steps, side_px) for i in range(8)])
        torch.cuda.synchronize()
        wall_s = time.perf_counter() - begun
    kernels_us = sum(event.self_device_time_total for event in profiled.key_averages())
    return float(kernels_us / 1e6 / wall_s)


def check_cold(setup: Setup) -> Finding:
    """Eight jobs in a process that has computed nothing, and compiled passes of every width."""
    cold = ask_fresh_process(setup)["cold"]
    graphs = _count_graphs(setup)
    failures = []
    if not cold["seconds_by_rows"]:
        failures.append("no width of passes was measured")
    if setup.is_gpu and cold["paying_width"] != cold["max_rows"]:
        failures.append(f"at its end passes of {cold['paying_width']} rows are thought to pay")
    if not 0 < graphs <= MAX_GRAPHS:
        failures.append(f"{graphs} graphs for the widths {WIDTHS}")
    return Finding(
        found=f"{cold['paying_width']} of {cold['max_rows']} rows pay; {graphs} graphs over widths 1 to 16",
        failures=tuple(failures),
        figures={**cold, "graphs": graphs},
        stands_in="measured, but not judged by which width pays; graphs are traced and not compiled",
    )


def _count_graphs(setup: Setup) -> int:
    """Graphs that are compiled for a tiny denoiser at all widths."""
    made = make(SD3, setup.device, setup.dtype, Size.TOY)
    call = first_call(made, 64)
    single = _take_first_row(call)
    torch._dynamo.reset()
    seen: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append(1)
        return compile_fx(graph, inputs) if setup.is_gpu else graph.forward

    compile_denoiser(made.denoiser, backend)
    with torch.no_grad():
        for rows in WIDTHS:
            wide = widen(single, rows)
            wide.module(*wide.args, **wide.kwargs)
    torch._dynamo.reset()
    return len(seen)


def _take_first_row(call: Any) -> Any:
    """The call with one row of its samples, texts and sizes."""
    rows = rows_of(call)

    def cut(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.ndim and value.shape[0] == rows:
            return value[:1]
        return {k: cut(v) for k, v in value.items()} if isinstance(value, dict) else value

    return type(call)(call.module, tuple(map(cut, call.args)), cut(call.kwargs), call.cache_context)


CHECKS = (
    Check(
        number=10,
        name="waiting for the device",
        expected="beyond stock's, 2 waits a turn and 1 a run-step at most; busy 95 % with 8 runs; the meter within 2 %",
        make=check_waits,
    ),
    Check(
        number=11,
        name="a cold process",
        expected=f"after 3 passes the widest width pays; at most {MAX_GRAPHS} compiled graphs over widths 1 to 16",
        make=check_cold,
    ),
)
