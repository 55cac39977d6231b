"""Throughput of the engine on a GPU against stock diffusers, over random models of the public models' sizes.

    python benchmarks/gpu.py [--device cuda:0] [--models SDXL FLUX.1-dev] [--rounds 5] [--out FILE]

Models compute in bfloat16 where the card can, else in float16 (float32 on a CPU), and end with latents: text encoders
and autoencoders cost every way the same. All jobs are there from the beginning. Two kinds of work, at 512 and 1024 px:

equal   eight jobs of the same steps: the best that static batches can get
mixed   eight jobs of 4, 8, 12 and 16 steps, two each, in random order
styled  the equal ones with two random styles (LoRA) and none in turn; stock switches adapters before each job

The ways, which take turns at being the first in every round:

one_by_one        stock diffusers, one job after the other
static            (equal) one stock call of all eight
request_batching  (mixed) up to eight waiting jobs at a time, those of equal steps in one stock call
hub_fast          the engine with the stepping policy of `mezzotint serve`
hub_exact         the same in exact mode, whose passes are as wide as two runs on a GPU

Then, per job-step, the time that the hub takes between passes beyond the pipeline's own. On a GPU time is the wall's,
once the device is done; on a CPU it is this thread's. Above 1 the engine is better. See also `gpu_check.py`.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mezzotint.environment import set_device_environment, wait_passively

if TYPE_CHECKING:
    import torch
    from gpu_checks.models import Made

    from mezzotint.engine import Hub

Latents = dict[int, Any]
Round = dict[str, dict[str, "Measured"]]
"""Kind of work -> way -> what it took."""
JOBS = 8
EQUAL_STEPS = {"full": 12, "toy": 3}
MIXED_STEPS = {"full": (4, 8, 12, 16), "toy": (1, 2, 3, 4)}
SIDES_PX = {"full": (512, 1024), "toy": (64,)}
EQUAL_WAYS = ("one_by_one", "static", "hub_fast", "hub_exact")
MIXED_WAYS = ("one_by_one", "request_batching", "hub_fast", "hub_exact")
STYLED_WAYS = ("one_by_one", "hub_fast", "hub_exact")
STYLES = ("ink", "oil")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    number: int
    steps: int
    style: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """peak_bytes: the most that was allocated at once, on a GPU. latents: by job."""

    seconds: float
    peak_bytes: int | None
    latents: "Latents"

    def apart(self, stock: "Measured") -> float:
        """Largest difference from stock's latents, over their largest value."""
        pairs = [(one, stock.latents[number]) for number, one in self.latents.items()]
        return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


@dataclass(slots=True)
class Bench:
    """One model on its device, and what was measured of it."""

    made: "Made"
    device: "torch.device"
    hubs: "dict[str, Hub]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        from mezzotint.engine import Hub
        from mezzotint.main.served_models import MAX_ROWS, WEIGHTS
        from mezzotint.policy.device.batching import choose_runs

        for name in ("hub_fast", "hub_exact"):
            self.hubs[name] = Hub(
                self.made.pipeline,
                exact=name == "hub_exact",
                max_rows=MAX_ROWS,
                fixed_rows=2 * self.made.family.own_rows,
                choose=partial(choose_runs, weights=WEIGHTS, max_rows=MAX_ROWS),
                verdicts={},
            )

    def clock(self) -> float:
        import torch

        if self.device.type == "cpu":
            return time.thread_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def call(self, jobs: list[Job], side_px: int) -> "Latents":
        """One stock call of all the jobs, which have one style."""
        import torch

        if jobs[0].style is not None:
            self.made.pipeline.enable_lora()
            self.made.pipeline.set_adapters(jobs[0].style)
        elif getattr(self.made.denoiser, "peft_config", None):
            self.made.pipeline.disable_lora()

        requests = [self.made.request(job.number, jobs[0].steps, side_px) for job in jobs]
        joined = {
            key: torch.cat([request[key] for request in requests]) if isinstance(value, torch.Tensor) else value
            for key, value in requests[0].items()
        }
        output = self.made.pipeline(**joined | {"generator": [request["generator"] for request in requests]})
        return {job.number: latents for job, latents in zip(jobs, output.images, strict=True)}

    def draw(self, way: str, jobs: list[Job], side_px: int) -> "Latents":
        match way:
            case "one_by_one":
                groups = [[job] for job in jobs]
            case "static":
                groups = [jobs]
            case "request_batching":
                groups = [[job for job in jobs if job.steps == steps] for steps in {job.steps: 0 for job in jobs}]
            case _:
                return self._draw_by_hub(self.hubs[way], jobs, side_px)
        found: Latents = {}
        for group in groups:
            found |= self.call(group, side_px)
        return found

    def _draw_by_hub(self, hub: "Hub", jobs: list[Job], side_px: int) -> "Latents":
        runs = {
            job.number: hub.submit(
                self.made.request(job.number, job.steps, side_px), adapters={job.style: 1.0} if job.style else None
            )
            for job in jobs
        }
        while hub.turn():
            pass
        for run in runs.values():
            if run.error is not None:
                raise run.error
        return {number: run.output.images[0] for number, run in runs.items()}

    def measure(self, way: str, jobs: list[Job], side_px: int) -> "Measured":
        import torch

        is_gpu = self.device.type == "cuda"
        if is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        begun = self.clock()
        latents = self.draw(way, jobs, side_px)
        seconds = self.clock() - begun
        return Measured(
            seconds=seconds,
            peak_bytes=torch.cuda.max_memory_allocated(self.device) if is_gpu else None,
            latents={number: one.float().cpu() for number, one in latents.items()},
        )

    def measure_hub(self, steps: int, side_px: int) -> dict[str, float]:
        """Milliseconds a job-step outside of passes: the pipeline's own, and what the hub adds."""
        jobs = [Job(number=i, steps=steps) for i in range(JOBS)]
        own = self._measure_outside(lambda: self.draw("one_by_one", jobs, side_px))
        found = {"pipeline_ms": 1e3 * own / (JOBS * steps)}
        for name in self.hubs:
            outside = self._measure_outside(partial(self.draw, name, jobs, side_px))
            found[f"{name}_ms"] = 1e3 * (outside - own) / (JOBS * steps)
        return found

    def _measure_outside(self, work: Callable[[], Any]) -> float:
        inside: list[float] = []
        with self._time_passes(inside):
            begun = self.clock()
            work()
            return self.clock() - begun - sum(inside)

    @contextmanager
    def _time_passes(self, inside: list[float]) -> Iterator[None]:
        begun: list[float] = []
        module = self.made.denoiser
        handles = [
            module.register_forward_pre_hook(lambda *_: begun.append(self.clock())),
            module.register_forward_hook(lambda *_: inside.append(self.clock() - begun.pop())),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def work_of(size: str, seed: int) -> dict[str, list[Job]]:
    steps = [MIXED_STEPS[size][i % len(MIXED_STEPS[size])] for i in range(JOBS)]
    random.Random(seed).shuffle(steps)
    return {
        "equal": [Job(number=i, steps=EQUAL_STEPS[size]) for i in range(JOBS)],
        "mixed": [Job(number=i, steps=own) for i, own in enumerate(steps)],
    }


def one_round(bench: Bench, size: str, side_px: int, turn: int) -> Round:
    found: Round = {}
    for kind, jobs in work_of(size, turn).items():
        ways = EQUAL_WAYS if kind == "equal" else MIXED_WAYS
        order = (*ways, *ways)[turn % len(ways) :][: len(ways)]
        found[kind] = {way: bench.measure(way, jobs, side_px) for way in order}
    return found


def compare(rounds: list[Round]) -> dict[str, Any]:
    """Ratios are of the same jobs in the same round."""
    result: dict[str, Any] = {}
    for kind, ways in (("equal", EQUAL_WAYS), ("mixed", MIXED_WAYS)):
        seconds = {way: [found[kind][way].seconds for found in rounds] for way in ways}

        def over(mine: str, theirs: str, seconds: dict[str, list[float]] = seconds) -> dict[str, float]:
            return spread([b / a for a, b in zip(seconds[mine], seconds[theirs], strict=True)])

        bases = [way for way in ways if not way.startswith("hub")]
        result[kind] = {
            "jobs_per_s": {way: spread([JOBS / spent for spent in seconds[way]]) for way in ways},
            "throughput_over": {hub: {base: over(hub, base) for base in bases} for hub in ("hub_fast", "hub_exact")},
            "exact_over_fast": over("hub_exact", "hub_fast"),
            "peak_bytes": {way: rounds[-1][kind][way].peak_bytes for way in ways},
            "apart_from_stock": {
                way: max(found[kind][way].apart(found[kind]["one_by_one"]) for found in rounds) for way in ways
            },
        }
    return result


def measure_styles(bench: Bench, size: str, side_px: int, rounds: int) -> dict[str, Any]:
    """Two styles are loaded for it, and dropped again."""
    from gpu_checks.styles import write_style

    hub = bench.hubs["hub_fast"]  # adapters lie in the modules, which both hubs have
    with tempfile.TemporaryDirectory() as folder:
        for seed, name in enumerate(STYLES):
            hub.loras.load(name, write_style(bench.made, Path(folder, f"{name}.safetensors"), seed))
    kinds = (None, *STYLES)
    jobs = [Job(number=i, steps=EQUAL_STEPS[size], style=kinds[i % len(kinds)]) for i in range(JOBS)]
    found: list[dict[str, Measured]] = []
    for turn in range(rounds + 1):
        order = (*STYLED_WAYS, *STYLED_WAYS)[turn % len(STYLED_WAYS) :][: len(STYLED_WAYS)]
        found.append({way: bench.measure(way, jobs, side_px) for way in order})
    for name in STYLES:
        hub.loras.drop(name)
    seconds = {way: [one[way].seconds for one in found[1:]] for way in STYLED_WAYS}
    stock = seconds["one_by_one"]
    return {
        "jobs_per_s": {way: spread([JOBS / spent for spent in seconds[way]]) for way in STYLED_WAYS},
        "throughput_over_one_by_one": {
            way: spread([b / a for a, b in zip(seconds[way], stock, strict=True)]) for way in STYLED_WAYS[1:]
        },
        "apart_from_stock": {way: max(one[way].apart(one["one_by_one"]) for one in found) for way in STYLED_WAYS[1:]},
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def measure_model(bench: Bench, size: str, rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {"share_of_blocks": bench.made.share}
    for side_px in SIDES_PX[size]:
        one_round(bench, size, side_px, 0)  # kernels are chosen, merged passes verified
        found = [one_round(bench, size, side_px, turn) for turn in range(1, rounds + 1)]
        hub_ms = [bench.measure_hub(EQUAL_STEPS[size], side_px) for _ in range(rounds)]
        result[f"{side_px} px"] = compare(found) | {
            "styled": measure_styles(bench, size, side_px, rounds),
            "ms_a_job_step": {name: spread([one[name] for one in hub_ms]) for name in hub_ms[0]},
        }
    return result


def run(device: str, size: str, names: list[str], rounds: int) -> dict[str, Any]:
    import torch
    from gpu_checks.models import FAMILIES, Size, make
    from gpu_checks.report import describe_hardware

    from mezzotint.engine.device.choice import has_bfloat16

    where = torch.device(device)
    dtype = torch.float32
    if where.type == "cuda":
        dtype = torch.bfloat16 if has_bfloat16(device) else torch.float16
    result = {
        "hardware": describe_hardware(where),
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "size": size,
        "rounds": rounds,
        "models": {},
    }
    for family in FAMILIES:
        if family.name in names:
            made = make(family, where, dtype, Size(size))
            result["models"][family.name] = measure_model(Bench(made, where), size, rounds)
            del made
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cpu, or cuda:N")
    parser.add_argument("--size", choices=["full", "toy"], default="full")
    parser.add_argument("--models", nargs="+", default=["SDXL", "FLUX.1-dev"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    wait_passively()
    set_device_environment()
    warnings.simplefilter("ignore")
    import diffusers
    import torch

    diffusers.utils.logging.set_verbosity_error()
    if args.device == "cpu":
        torch.set_num_threads(1)
    elif not torch.cuda.is_available():
        print("PyTorch sees no CUDA device; --device cpu --size toy tries the script", file=sys.stderr)
        return 2
    text = json.dumps(run(args.device, args.size, args.models, args.rounds), indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
