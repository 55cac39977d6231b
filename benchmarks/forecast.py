"""Passes that forecasts save on the starter model, and what they do to its pictures, over samplers.

    python benchmarks/forecast.py [--pictures 64] [--steps 30 50] [--bounds 0.05 0.1] [--picture FILE] [--out FILE]

Each picture is drawn with every pass, within each bound, and with as few steps instead as the bound left passes; PSNR
is that to the picture of every pass. All in exact mode, in shared passes. The flow sampler draws with the same
weights: hooks turn the starter's answers into velocities along a straight path from noise to picture.
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


def compare(every: list[Run], drawn: list[Run]) -> dict[str, float]:
    pairs = zip(every, drawn, strict=True)
    errors = [float(np.square(a.output.images - b.output.images).mean()) for a, b in pairs]
    psnr = [-10 * np.log10(max(error, 1e-12)) for error in errors]
    passes = float(np.mean([run.num_passes for run in drawn]))
    figures = {"passes": passes, "psnr_db_mean": float(np.mean(psnr)), "psnr_db_worst": float(np.min(psnr))}
    return {name: round(value, 1) for name, value in figures.items()}


def measure(pipeline: Any, count: int, num_steps: int, bounds: list[float]) -> dict[str, Any]:
    every = draw(pipeline, count, num_steps)
    calls_per_step = every[0].num_passes / num_steps
    found: dict[str, Any] = {"every_pass": every[0].num_passes}
    for bound in bounds:
        forecast = compare(every, draw(pipeline, count, num_steps, ForecastSettings(bound=bound)))
        fewer = max(1, round(forecast["passes"] / calls_per_step))
        found[f"bound {bound:g}"] = {"forecast": forecast, "fewer_steps": compare(every, draw(pipeline, count, fewer))}
    return found


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
    parser.add_argument("--bounds", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--samplers", nargs="+", default=[*SAMPLERS, FLOW], choices=[*SAMPLERS, FLOW])
    parser.add_argument("--picture", type=Path, help="where to write pictures of both kinds side by side")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = load.load_pipeline(files.locate("starter"), "cpu")
    pipeline.set_progress_bar_config(disable=True)
    EmbeddingCache().attach(pipeline)
    own = pipeline.scheduler
    result: dict[str, Any] = {"hardware": hardware(), "torch": torch.__version__, "pictures": args.pictures}

    def with_sampler(sampler: Any) -> Any:
        twin = copy.copy(pipeline)
        object.__setattr__(twin, "scheduler", sampler)
        return twin

    if args.picture is not None:
        lay_side_by_side(pipeline, args.bounds[0], args.steps[-1], args.picture)
    for num_steps in args.steps:
        for name in args.samplers:
            if name == FLOW:
                with as_flow(pipeline.unet, own.alphas_cumprod):
                    found = measure(with_sampler(FlowEuler()), args.pictures, num_steps, args.bounds)
            else:
                kind: Callable[..., Any] = SAMPLERS[name].from_config
                sampler = kind(own.config, **SETTINGS.get(name, {}))
                found = measure(with_sampler(sampler), args.pictures, num_steps, args.bounds)
            result.setdefault(f"{num_steps} steps", {})[name] = found
            print(num_steps, name, json.dumps(found), flush=True)
            if args.out is not None:
                args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
