"""Throughput and latency of the step engine against three ways to serve the same pipeline, in one run.

    python benchmarks/engine.py [--minutes 9] [--load 0.95] [--steps 4 20 30 50] [--forecast 0.05] [--out FILE]

Needs the extra `bench`. Jobs ask for each of `steps` equally often. Saturated: all jobs are there from the beginning.
Poisson: more of them come at random, at `load` times the rate that request batching does when saturated. The ways:

one_by_one            stock diffusers, first come, first served
request_batching      LitServe's batched loop: up to 8 requests, those with equal steps in one call of the pipeline
continuous            LitServe's continuous loop over a step loop written by hand for this model (`litserve_ways.py`)
continuous_tuned      the same, over convolution weights that are channels-last, as the engine's are where the model's
                      card says so; the other ways of the peers have them in the order that stock diffusers loads
hub_exact, hub_fast   the engine with the stepping policy, as `mezzotint serve` wires them
hub_exact_forecast    with `--forecast BOUND`: hub_exact, whose runs foretell steps within that bound

Two models: the starter model, where wide passes pay, and a random UNet with so much attention that they hardly do.
All run in this process, on one thread of torch, without HTTP: LitServe's loops are its own, its queue and its transport
are ours. Time is the process's CPU time; when there is nothing to do the clock jumps to the next arrival. So the
figures depend less on what else the machine does, though not on nothing: let it rest. The ways take turns at being the
first. Every way makes every picture; they are compared with stock's: those with foretold steps by PSNR.
"""

import argparse
import json
import logging
import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from line import Job, Line
from litserve_ways import Continuous, RequestBatching
from serve import hardware, spread

from mezzotint.config import Settings
from mezzotint.engine import EmbeddingCache, ForecastSettings, Hub
from mezzotint.engine.models import files, load
from mezzotint.main.served_models import MAX_ROWS, WEIGHTS
from mezzotint.policy.device.batching import choose_runs

STEPS = (4, 20, 30, 50)
COLOURS = ("red", "green", "blue", "yellow", "purple", "brown", "white", "black")
THINGS = ("apple", "car", "fish", "heart", "house", "flower", "butterfly", "hat", "cup", "book", "balloon", "bird")
WIDTH = MAX_ROWS // 2  # pictures in a pass; guidance makes two rows of each
BASES = ("one_by_one", "request_batching", "continuous", "continuous_tuned")
HUBS = ("hub_exact", "hub_fast")
FORECAST = "hub_exact_forecast"

Way = Callable[[Line], None]


@dataclass(frozen=True, slots=True)
class Model:
    """saturated, poisson: jobs of each kind of measurement in a round. steps: of the jobs."""

    ways: dict[str, Way]
    saturated: int
    poisson: int
    steps: tuple[int, ...] = STEPS


def jobs(count: int, rate: float | None, seed: int, of_steps: tuple[int, ...]) -> list[Job]:
    """Each number of steps equally often, in random order; prompts hardly ever twice."""
    dice, at, made = random.Random(seed), 0.0, []
    steps = [of_steps[i % len(of_steps)] for i in range(count)]
    dice.shuffle(steps)
    for i, num_steps in enumerate(steps):
        at += dice.expovariate(rate) if rate is not None else 0.0
        prompt = f"a {dice.choice(COLOURS)} {dice.choice(THINGS)}"
        made.append(Job(id=i, arrives_at=at, prompt=prompt, steps=num_steps, seed=1000 * seed + i))
    return made


def warm_up() -> list[Job]:
    """One after the other ends, so that passes of every width are made: the engine verifies the first of each."""
    return [Job(id=i, arrives_at=0.0, prompt=THINGS[i], steps=2 + i, seed=i) for i in range(WIDTH)]


def one_by_one(pipeline: Any, line: Line) -> None:
    while not line.is_over:
        job = line.take(is_idle=True)
        assert job is not None
        line.finish(job, pipeline(**job.request()).images[0])


class HubWay:
    """The engine as the server drives it: orders in, a turn, what has ended out."""

    def __init__(self, pipeline: Any, *, exact: bool, forecast: ForecastSettings | None = None) -> None:
        self._forecast = forecast
        policy = partial(choose_runs, weights=WEIGHTS, max_rows=MAX_ROWS)
        self._hub = Hub(pipeline, exact=exact, max_rows=MAX_ROWS, choose=policy, verdicts={})
        self._max_runs = Settings.model_fields["max_runs"].default

    def __call__(self, line: Line) -> None:
        going = {}
        while not line.is_over:
            while len(going) < self._max_runs and (job := line.take(is_idle=not going)) is not None:
                going[self._hub.submit(job.request(), forecast=self._forecast)] = job
            self._hub.turn()
            for run in [run for run in going if run.done]:
                if run.error is not None:
                    raise run.error
                line.num_passes += run.num_passes
                line.num_forecast += run.num_forecast
                line.finish(going.pop(run), run.output.images[0])


def starter() -> Any:
    return load.load_pipeline(files.locate("starter"), "cpu")


def attentive() -> Any:
    """A random UNet on 32 x 32 latents, attention at full width as in Stable Diffusion; no VAE enlarges them."""
    pipeline = starter()
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=16,
        out_channels=16,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=pipeline.unet.config.cross_attention_dim,
        attention_head_dim=8,
        norm_num_groups=8,
    ).eval()
    parts = {**pipeline.components, "unet": unet, "scheduler": DDIMScheduler.from_config(pipeline.scheduler.config)}
    return StableDiffusionPipeline(**parts, requires_safety_checker=False)


def ways_of(make: Callable[[], Any], forecast: ForecastSettings | None) -> dict[str, Way]:
    """Peers get a pipeline of their own: the server's has a cache of text embeddings on it."""
    stock, tuned, served = make(), make(), make()
    for pipeline in (stock, tuned, served):
        pipeline.set_progress_bar_config(disable=True)
    for layer in stock.unet.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data = layer.weight.data.contiguous()
    EmbeddingCache().attach(served)
    foretelling = {} if forecast is None else {FORECAST: HubWay(served, exact=True, forecast=forecast)}
    return {
        "one_by_one": partial(one_by_one, stock),
        "request_batching": RequestBatching(stock, WIDTH),
        "continuous": Continuous(stock, WIDTH),
        "continuous_tuned": Continuous(tuned, WIDTH),
        "hub_exact": HubWay(served, exact=True),
        "hub_fast": HubWay(served, exact=False),
        **foretelling,
    }


def measure(ways: dict[str, Way], work: list[Job], turn: int) -> dict[str, Line]:
    lines = {}
    for name in (*ways, *ways)[turn % len(ways) :][: len(ways)]:
        lines[name] = Line(work)
        ways[name](lines[name])
    for name, line in lines.items():
        if name == FORECAST:
            continue
        stock = lines["one_by_one"].pictures
        apart = max((float(np.abs(picture - stock[i]).max()) for i, picture in line.pictures.items()), default=0.0)
        assert apart < 0.02, f"{name} draws other pictures: {apart}"
    return lines


def one_round(of: Model, load: float, turn: int) -> dict[str, dict[str, Line]]:
    saturated = measure(of.ways, jobs(of.saturated, None, turn, of.steps), turn)
    rate = load * of.saturated / saturated["request_batching"].ended_at
    return {"saturated": saturated, "poisson": measure(of.ways, jobs(of.poisson, rate, turn, of.steps), turn)}


def told(rounds: list[dict[str, dict[str, Line]]]) -> dict[str, Any]:
    """Ratios are of the same jobs in the same round; above 1 the engine is better."""

    def throughput(name: str) -> list[float]:
        return [len(found["saturated"][name].latencies) / found["saturated"][name].ended_at for found in rounds]

    def p95(name: str) -> list[float]:
        lines = [found["poisson"][name] for found in rounds]
        return [float(np.percentile(line.latencies, 95)) for line in lines if line.latencies]

    def over(mine: list[float], theirs: list[float]) -> dict[str, float]:
        return spread([a / b for a, b in zip(mine, theirs, strict=True)])

    hubs = (*HUBS, *({FORECAST} & rounds[0]["saturated"].keys()))
    names = BASES + hubs
    result = {
        "rounds": len(rounds),
        "jobs_per_s": {name: spread(throughput(name)) for name in names},
        "throughput_over": {hub: {base: over(throughput(hub), throughput(base)) for base in BASES} for hub in hubs},
        "exact_over_fast": over(throughput("hub_exact"), throughput("hub_fast")),
    }
    if p95("hub_exact"):
        result["p95_s"] = {name: spread(p95(name)) for name in names}
        result["p95_better_by"] = {hub: {base: over(p95(base), p95(hub)) for base in BASES} for hub in hubs}
    if FORECAST in hubs:
        result["forecast"] = tell_forecast(rounds)
    return result


def tell_forecast(rounds: list[dict[str, dict[str, Line]]]) -> dict[str, Any]:
    """Passes left out, and PSNR to stock's pictures, of both kinds of measurement; jobs of 4 steps foretell none."""
    pairs = [(found[FORECAST], found["one_by_one"]) for one in rounds for found in one.values()]
    errors = {
        (i, job): float(np.square(picture - stock.pictures[job]).mean())
        for i, (mine, stock) in enumerate(pairs)
        for job, picture in mine.pictures.items()
    }
    psnr = [-10 * np.log10(max(error, 1e-12)) for error in errors.values()]
    return {
        "passes": sum(mine.num_passes for mine, _ in pairs),
        "foretold": sum(mine.num_forecast for mine, _ in pairs),
        "pictures": len(psnr),
        "psnr_db_mean": round(float(np.mean(psnr)), 1),
        "psnr_db_worst": round(float(np.min(psnr)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9, help="no further round begins that would end later")
    parser.add_argument("--load", type=float, default=0.95)
    parser.add_argument("--forecast", type=float, help="bound of foretold steps, for one more way")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="of the jobs, each equally often")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("litserve").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    begun = time.monotonic()
    result = {"hardware": hardware(), "torch": torch.__version__, "litserve": litserve.__version__, "load": args.load}
    result |= {"steps": list(args.steps), "forecast_bound": args.forecast}
    forecast = None if args.forecast is None else ForecastSettings(bound=args.forecast)
    loaded = {
        "starter": Model(ways_of(starter, forecast), 18, 26, tuple(args.steps)),
        "attentive": Model(ways_of(attentive, forecast), 4, 0, tuple(args.steps)),
    }
    rounds: dict[str, list[Any]] = {name: [] for name in loaded}
    for model in loaded.values():
        for way in model.ways.values():
            way(Line(warm_up()))
    spent_s, at = 0.0, time.monotonic()
    while not rounds["starter"] or at - begun + spent_s < 60 * args.minutes:
        for name, model in loaded.items():
            rounds[name].append(one_round(model, args.load, turn=1 + len(rounds[name])))
        spent_s, at = time.monotonic() - at, time.monotonic()
    result |= {"seconds": round(time.monotonic() - begun), **{name: told(found) for name, found in rounds.items()}}
    text = json.dumps(result, indent=2)
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
