"""Passes that forecasts save on the starter model, and what they do to its pictures, over samplers.

    python benchmarks/forecast.py [--pictures 64] [--steps 30 50] [--bounds 0.05 0.16] [--picture FILE] [--out FILE]

Each picture is drawn with every pass, within each bound, and with as few steps instead as the bound left passes; PSNR
is that to the picture of every pass; `alignment` is what the built-in aligner says of a picture and its prompt, beside
the mean change and its 95 % interval. All in exact mode, in shared passes. The flow sampler draws with the same
weights: hooks turn the starter's answers into velocities along a straight path from noise to picture. Samplers and
numbers of steps that the file already holds, of as many pictures at least, are not drawn again.
"""

import argparse
import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import PIL.Image
import torch
from serve import hardware

from mezzotint.engine import EmbeddingCache, ForecastSettings, Hub, Run
from mezzotint.engine.models import files, load
from mezzotint.evals.pictures.aligner import Aligner
from mezzotint.evals.statistics import bootstrap_interval

COLOURS = ("red", "green", "blue", "yellow", "purple", "brown", "white", "black")
THINGS = ("apple", "cat face", "rocket", "house", "slice of pizza", "snowman", "robot", "dog face")
SAMPLERS = {
    "DDIM": diffusers.DDIMScheduler,
    "Euler": diffusers.EulerDiscreteScheduler,
    "Euler a": diffusers.EulerAncestralDiscreteScheduler,
    "DPM++ 2M": diffusers.DPMSolverMultistepScheduler,
    "UniPC": diffusers.UniPCMultistepScheduler,
    "Heun": diffusers.HeunDiscreteScheduler,
}
SETTINGS = {"Heun": {"timestep_spacing": "leading"}}
"""With the starter's own spacing Heun's first two noise levels are 20,291 and 13, between which it loses its way."""
FLOW = "flow Euler"
AT_ONCE = 16  # runs in the hub


class FlowEuler(diffusers.FlowMatchEulerDiscreteScheduler):
    """What Stable Diffusion's pipeline asks of a sampler beside its steps."""

    init_noise_sigma = 1.0

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        return sample


@contextmanager
def as_flow(unet: Any, alphas: torch.Tensor) -> Iterator[None]:
    """Let a UNet that predicts v = a noise - s x0 answer as one of flow matching: noise - x0, at s = time / 1000."""
    table = ((1 - alphas) / alphas).sqrt().log().numpy()
    seen: dict[str, torch.Tensor] = {}

    def before(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        sample, time = args[0], torch.as_tensor(args[1], dtype=torch.float32).expand(args[0].shape[0])
        share = (time / 1000).clamp(1e-4, 1 - 1e-4)
        size = ((1 - share) ** 2 + share**2).sqrt()
        times = np.interp((share / (1 - share)).log().numpy(), table, np.arange(len(table)))
        seen["a"], seen["s"] = ((value / size)[:, None, None, None] for value in (1 - share, share))
        seen["x"] = sample / size[:, None, None, None]
        return (seen["x"], torch.from_numpy(times).float(), *args[2:]), kwargs

    def after(module: Any, args: Any, output: Any) -> Any:
        a, s, x = seen["a"], seen["s"], seen["x"]
        return ((s * x + a * output[0]) - (a * x - s * output[0]), *output[1:])

    handles = [unet.register_forward_pre_hook(before, with_kwargs=True), unet.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def request(i: int, num_steps: int) -> dict[str, Any]:
    return {
        "prompt": f"a {COLOURS[i // len(THINGS) % len(COLOURS)]} {THINGS[i % len(THINGS)]}",
        "num_inference_steps": num_steps,
        "guidance_scale": 3.5,
        "generator": torch.Generator().manual_seed(100 + i),
        "output_type": "np",
    }


def draw(pipeline: Any, count: int, num_steps: int, forecast: ForecastSettings | None = None) -> list[Run]:
    runs: list[Run] = []
    for begin in range(0, count, AT_ONCE):
        hub = Hub(pipeline)
        numbers = range(begin, min(count, begin + AT_ONCE))
        runs += [hub.submit(request(i, num_steps), forecast=forecast) for i in numbers]
        while hub.turn():
            pass
    for run in runs:
        if run.error is not None:
            raise run.error
    return runs


def score_alignment(aligner: Aligner, drawn: list[Run]) -> list[float]:
    """Of each picture with its prompt; as users get it, in 256 levels."""
    found = []
    for i, run in enumerate(drawn):
        picture = PIL.Image.fromarray((run.output.images[0] * 255).round().astype(np.uint8))
        found.append(float(aligner.compare([picture], [request(i, 1)["prompt"]])[0, 0]))
    return found


def compare(aligner: Aligner, every: list[Run], drawn: list[Run]) -> dict[str, Any]:
    pairs = zip(every, drawn, strict=True)
    errors = [float(np.square(a.output.images - b.output.images).mean()) for a, b in pairs]
    psnr = [-10 * np.log10(max(error, 1e-12)) for error in errors]
    passes = float(np.mean([run.num_passes for run in drawn]))
    before, after = score_alignment(aligner, every), score_alignment(aligner, drawn)
    changes = np.subtract(after, before)
    interval = bootstrap_interval(np.mean, changes)
    return {
        "passes": round(passes, 1),
        "saved": round(1 - passes / every[0].num_passes, 3),
        "psnr_db_mean": round(float(np.mean(psnr)), 1),
        "psnr_db_worst": round(float(np.min(psnr)), 1),
        "alignment": round(float(np.mean(after)), 4),
        "alignment_change": [round(value, 5) for value in (float(np.mean(changes)), interval.low, interval.high)],
    }


def measure(pipeline: Any, aligner: Aligner, count: int, num_steps: int, bounds: list[float]) -> dict[str, Any]:
    every = draw(pipeline, count, num_steps)
    calls_per_step = every[0].num_passes / num_steps
    found: dict[str, Any] = {"pictures": count, "every_pass": every[0].num_passes}
    found["alignment"] = round(float(np.mean(score_alignment(aligner, every))), 4)
    for bound in bounds:
        forecast = compare(aligner, every, draw(pipeline, count, num_steps, ForecastSettings(bound=bound)))
        fewer = draw(pipeline, count, max(1, round(forecast["passes"] / calls_per_step)))
        found[f"bound {bound:g}"] = {"forecast": forecast, "fewer_steps": compare(aligner, every, fewer)}
    return found


def read_earlier(out: Path | None) -> dict[str, Any]:
    """What a run under the same settings left in the file."""
    kind = {"settings": ForecastSettings(bound=1.0).describe()}
    earlier = json.loads(out.read_text()) if out is not None and out.exists() else {}
    return earlier if earlier.get("settings") == kind["settings"] else kind


def holds(found: dict[str, Any] | None, count: int, bounds: list[float]) -> bool:
    return found is not None and found["pictures"] >= count and all(f"bound {bound:g}" in found for bound in bounds)


def lay_side_by_side(pipeline: Any, bound: float, num_steps: int, path: Path) -> None:
    """Rows: every pass; within the bound; as many steps as the bound left passes."""
    every, forecast = (draw(pipeline, 8, num_steps, f) for f in (None, ForecastSettings(bound=bound)))
    fewer = draw(pipeline, 8, round(float(np.mean([run.num_passes for run in forecast]))))
    rows = [np.concatenate([run.output.images[0] for run in runs], axis=1) for runs in (every, forecast, fewer)]
    PIL.Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=[30, 50])
    parser.add_argument("--bounds", type=float, nargs="+", default=[0.05, 0.16])
    parser.add_argument("--samplers", nargs="+", default=[*SAMPLERS, FLOW], choices=[*SAMPLERS, FLOW])
    parser.add_argument("--picture", type=Path, help="where to write pictures of both kinds side by side")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = load.load_pipeline(files.locate("starter"), "cpu")
    pipeline.set_progress_bar_config(disable=True)
    EmbeddingCache().attach(pipeline)
    own, aligner = pipeline.scheduler, Aligner()
    result = read_earlier(args.out) | {"hardware": hardware(), "torch": torch.__version__}

    def with_sampler(sampler: Any) -> Any:
        twin = copy.copy(pipeline)
        object.__setattr__(twin, "scheduler", sampler)
        return twin

    if args.picture is not None:
        lay_side_by_side(pipeline, args.bounds[0], args.steps[-1], args.picture)
    for num_steps in args.steps:
        for name in args.samplers:
            if holds(result.get(f"{num_steps} steps", {}).get(name), args.pictures, args.bounds):
                continue
            if name == FLOW:
                with as_flow(pipeline.unet, own.alphas_cumprod):
                    found = measure(with_sampler(FlowEuler()), aligner, args.pictures, num_steps, args.bounds)
            else:
                kind: Callable[..., Any] = SAMPLERS[name].from_config
                sampler = kind(own.config, **SETTINGS.get(name, {}))
                found = measure(with_sampler(sampler), aligner, args.pictures, num_steps, args.bounds)
            result.setdefault(f"{num_steps} steps", {})[name] = found
            print(num_steps, name, json.dumps(found), flush=True)
            if args.out is not None:
                args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
