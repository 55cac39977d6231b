"""Throughput and latency of the engine against the two ways a stock pipeline can be served, in the same run.

    python benchmarks/engine_load.py [--model FOLDER] [--jobs 40] [--load 0.95] [--out FILE]

Jobs ask for 4, 20, 30 or 50 steps. One by one: first come, first served. Request batching: up to eight waiting jobs
with the first one's number of steps in one call of the pipeline, which is what a stock pipeline can batch. Hub: up to
eight runs in flight. Saturated: all jobs are there from the beginning. Poisson: they come at random at `load` times
the saturated throughput of request batching.

Time is the CPU time of the one thread that works; when there is nothing to do the clock jumps to the next arrival. So
the figures hardly depend on what else the machine does.
"""

import argparse
import json
import platform
import random
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mezzotint.engine import Hub, Run, models

PROMPTS = ("a red apple", "a cat face", "a blue car", "a rocket", "a green heart", "the sun", "a blue fish", "a tree")
STEPS = (4, 20, 30, 50)
WIDTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    arrives_at: float
    prompt: str
    steps: int
    seed: int


class Clock:
    """CPU seconds of this thread since the start, plus what was skipped while idle."""

    def __init__(self) -> None:
        self._origin = time.thread_time()
        self._skipped = 0.0

    def now(self) -> float:
        return time.thread_time() - self._origin + self._skipped

    def skip_to(self, instant: float) -> None:
        self._skipped += max(0.0, instant - self.now())


def jobs(count: int, rate: float | None) -> list[Job]:
    dice, at, made = random.Random(0), 0.0, []
    for seed in range(count):
        at += dice.expovariate(rate) if rate is not None else 0.0
        made.append(Job(arrives_at=at, prompt=dice.choice(PROMPTS), steps=dice.choice(STEPS), seed=seed))
    return made


def settings(steps: int) -> dict[str, Any]:
    return {"num_inference_steps": steps, "guidance_scale": 3.5, "output_type": "np"}


def one_by_one(pipeline: Any, work: list[Job]) -> list[float]:
    clock, latencies = Clock(), []
    for job in work:
        clock.skip_to(job.arrives_at)
        pipeline(prompt=job.prompt, generator=torch.Generator().manual_seed(job.seed), **settings(job.steps))
        latencies.append(clock.now() - job.arrives_at)
    return [*latencies, clock.now()]


def request_batching(pipeline: Any, work: list[Job]) -> list[float]:
    clock, latencies, waiting = Clock(), [], list(work)
    while waiting:
        clock.skip_to(waiting[0].arrives_at)
        there = [job for job in waiting if job.arrives_at <= clock.now()]
        batch = [job for job in there if job.steps == there[0].steps][:WIDTH]
        generators = [torch.Generator().manual_seed(job.seed) for job in batch]
        pipeline(prompt=[job.prompt for job in batch], generator=generators, **settings(batch[0].steps))
        latencies += [clock.now() - job.arrives_at for job in batch]
        waiting = [job for job in waiting if job not in batch]
    return [*latencies, clock.now()]


def hub_of(exact: bool, verdicts: dict[str, str]) -> Callable[[Any, list[Job]], list[float]]:
    def serve(pipeline: Any, work: list[Job]) -> list[float]:
        hub = Hub(pipeline, exact=exact, max_rows=2 * WIDTH, verdicts=verdicts)
        clock, latencies, waiting = Clock(), [], list(work)
        going: list[tuple[Job, Run]] = []
        while waiting or going:
            if not going:
                clock.skip_to(waiting[0].arrives_at)
            while waiting and len(going) < WIDTH and waiting[0].arrives_at <= clock.now():
                job = waiting.pop(0)
                request = {"prompt": job.prompt, "generator": torch.Generator().manual_seed(job.seed)}
                going.append((job, hub.submit(request | settings(job.steps))))
            hub.turn()
            latencies += [clock.now() - job.arrives_at for job, run in going if run.done]
            going = [(job, run) for job, run in going if not run.done]
        return [*latencies, clock.now()]

    return serve


def told(measured: list[float]) -> dict[str, float]:
    *latencies, total = measured
    return {
        "jobs_per_s": len(latencies) / total,
        "p50_s": statistics.median(latencies),
        "p95_s": statistics.quantiles(latencies, n=20)[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--load", type=float, default=0.95)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    pipeline = models.load(models.locate(args.model), "cpu", is_half=False)
    verdicts: dict[str, str] = {}
    ways: dict[str, Callable[[Any, list[Job]], list[float]]] = {
        "one_by_one": one_by_one,
        "request_batching": request_batching,
        "hub_exact": hub_of(True, verdicts),
        "hub_fast": hub_of(False, verdicts),
    }
    for way in ways.values():
        way(pipeline, jobs(WIDTH, None))
    saturated = {name: told(way(pipeline, jobs(args.jobs, None))) for name, way in ways.items()}
    rate = args.load * saturated["request_batching"]["jobs_per_s"]
    poisson = {name: told(way(pipeline, jobs(args.jobs, rate))) for name, way in ways.items()}
    result = {
        "hardware": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, 1 thread, CPU time",
        "torch": torch.__version__,
        "jobs": args.jobs,
        "arrivals_per_s": rate,
        "saturated": saturated,
        "poisson": poisson,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
