"""What the step engine costs beside the model: hub, checkpoints, exact mode; and what merging gains.

    python benchmarks/engine_overhead.py [--model FOLDER] [--steps 30] [--repeats 3] [--out FILE]

One thread, and its CPU time rather than the wall's, so that others on the machine disturb little. The variants are
interleaved and the median is taken. The hub's own share is what remains of a hub's time when the passes, and the time
that the stock pipeline spends outside its denoiser (text encoder, VAE, sampler, guidance), are taken away. Checkpoints
are encoded and hashed on the hub's thread here, the worst case: a server does that on another one.
"""

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mezzotint.engine import Hub, Run
from mezzotint.engine.models import files, load

PROMPTS = ("a red apple", "a cat face", "a blue car", "a rocket", "a green heart", "the sun", "a blue fish", "a tree")


def request(i: int, steps: int) -> dict[str, Any]:
    return {
        "prompt": PROMPTS[i % len(PROMPTS)],
        "num_inference_steps": steps,
        "guidance_scale": 3.5,
        "generator": torch.Generator().manual_seed(i),
        "output_type": "np",
    }


def cpu_time(work: Callable[[], None]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


class Denoiser:
    """Counts the CPU time spent inside the denoiser."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.spent_s = 0.0
        self._begun = 0.0
        module.register_forward_pre_hook(self._enter)
        module.register_forward_hook(self._leave)

    def _enter(self, *_: Any) -> None:
        self._begun = time.thread_time()

    def _leave(self, *_: Any) -> None:
        self.spent_s += time.thread_time() - self._begun


def stock(pipeline: Any, denoiser: Denoiser, runs: int, steps: int) -> dict[str, float]:
    denoiser.spent_s = 0.0

    def work() -> None:
        for i in range(runs):
            pipeline(**request(i, steps))

    total = cpu_time(work)
    return {"total_s": total, "outside_s": total - denoiser.spent_s}


def hubbed(
    hub: Hub, denoiser: Denoiser, runs: int, steps: int, options: dict[str, Any] | None = None
) -> dict[str, float]:
    denoiser.spent_s = 0.0

    def work() -> None:
        submitted = [hub.submit(request(i, steps), **(options or {})) for i in range(runs)]
        while hub.turn():
            pass
        failed = [run.error for run in submitted if run.error is not None]
        assert not failed, failed

    total = cpu_time(work)
    return {"total_s": total, "outside_s": total - denoiser.spent_s}


def encode(run: Run, snapshot: Any) -> None:
    snapshot.encode()


def medians(samples: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}


def measure(pipeline: Any, steps: int, repeats: int) -> dict[str, Any]:
    denoiser = Denoiser(pipeline.unet)
    hubs = {"exact": Hub(pipeline, exact=True), "fast": Hub(pipeline, exact=False)}
    variants: dict[str, Callable[[], dict[str, float]]] = {}
    for runs in (1, 8):
        variants[f"stock_{runs}"] = lambda runs=runs: stock(pipeline, denoiser, runs, steps)
        for mode, hub in hubs.items():
            variants[f"{mode}_{runs}"] = lambda runs=runs, hub=hub: hubbed(hub, denoiser, runs, steps)
    for every in (10, 2, 1):
        options = {"checkpoint_every": every, "on_checkpoint": encode}
        variants[f"checkpoint_{every}"] = lambda options=options: hubbed(hubs["exact"], denoiser, 8, steps, options)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for variant in variants.values():
        variant()  # warm up, and let the verifier make up its mind
    for _ in range(repeats):
        for name, variant in variants.items():
            samples[name].append(variant())
    return {name: medians(found) for name, found in samples.items()}


def figures(measured: dict[str, Any], steps: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for runs in (1, 8):
        plain, exact, fast = (measured[f"{mode}_{runs}"] for mode in ("stock", "exact", "fast"))
        hub_s = exact["outside_s"] - plain["outside_s"]
        told[f"runs_{runs}"] = {
            "pipelines_own_ms_per_job_step": 1e3 * plain["outside_s"] / (runs * steps),
            "hub_ms_per_job_step": 1e3 * hub_s / (runs * steps),
            "hub_share_of_model_time": hub_s / (exact["total_s"] - exact["outside_s"]),
            "throughput_over_stock_exact": plain["total_s"] / exact["total_s"],
            "throughput_over_stock_fast": plain["total_s"] / fast["total_s"],
            "exact_over_fast": fast["total_s"] / exact["total_s"],
        }
    base = measured["exact_8"]
    told["checkpoint_overhead"] = {
        f"every_{n}": (measured[f"checkpoint_{n}"]["outside_s"] - base["outside_s"]) / base["total_s"]
        for n in (10, 2, 1)
    }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    pipeline = load.load_pipeline(files.locate(args.model), "cpu")
    measured = measure(pipeline, args.steps, args.repeats)
    result = {
        "hardware": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, 1 thread",
        "torch": torch.__version__,
        "steps": args.steps,
        "figures": figures(measured, args.steps),
        "measured_s": measured,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
