"""Simulate orders in which runs make their steps: throughput, and the latencies of jobs that come at random.

    python benchmarks/step_order.py [--jobs 4000] [--out FILE]

The policy of the server (`policy.device.batching`) and others choose each turn's runs; a turn takes what the starter
model's turns took in `results/engine_overhead.json`. Jobs ask for 4, 20, 30 or 50 steps, begin in the order of their
arrival, and share turns; they come at three quarters of the rate at which full passes finish them. A pure function of
its seed. `disturbed`: to the engine, which learns from it what width pays, other programs make nine passes in ten look
up to four times as long.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from mezzotint.engine.batching.meter import CostCurve
from mezzotint.policy.device.batching import choose_runs

OVERHEAD = Path(__file__).parent / "results" / "engine_overhead.json"
STEPS = (4, 20, 30, 50)
ROWS = 2
"""Rows of a picture in a pass: guidance makes two."""
SEED = 7
SLOWER = 1.1
LOAD = 0.75


@dataclass(slots=True)
class Run:
    """A job in the engine, as the policy sees it."""

    id: int
    arrived_at: float
    num_steps: int
    pass_s: Mapping[int, float]
    label: str = ""
    batch_key: int = 0
    rows: int = ROWS
    steps: int = 0
    waited_turns: int = 0
    turns: int = 0
    cost_s: float = 0.0


Order = Callable[[Sequence[Run], int], list[int]]


def as_served(parked: Sequence[Run], width: int) -> list[int]:
    return choose_runs(parked, {}, width * ROWS)


def first_of(parked: Sequence[Run], width: int, rank: Callable[[Run], Any]) -> list[int]:
    return [run.id for run in sorted(parked, key=rank)[:width]]


ORDERS: dict[str, Order] = {
    "as served": as_served,
    "fewest steps left": lambda parked, width: first_of(parked, width, lambda run: run.num_steps - run.steps),
    "oldest": lambda parked, width: first_of(parked, width, lambda run: run.id),
    "in turn": lambda parked, width: first_of(parked, width, lambda run: (-run.waited_turns, run.id)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """turn_s: pictures in a turn -> its seconds. disturbance: the share of passes that look slower than they are,
    and the factor by which they do at most."""

    turn_s: Mapping[int, float]
    max_runs: int
    width: int
    order: Order
    disturbance: tuple[float, float] = (0.0, 1.0)


@dataclass(slots=True)
class Played:
    ended_at: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)


def arrivals(num_jobs: int, rate: float | None, dice: random.Random) -> Iterator[tuple[float, int]]:
    at = 0.0
    for _ in range(num_jobs):
        at += 0.0 if rate is None else dice.expovariate(rate)
        yield at, dice.choice(STEPS)


def play(engine: Engine, num_jobs: int, rate: float | None) -> Played:
    dice, noise = random.Random(SEED), random.Random(SEED + 1)
    coming = list(enumerate(arrivals(num_jobs, rate, dice)))
    coming.reverse()
    curve, going, played, now = CostCurve(), dict[int, Run](), Played(), 0.0
    while coming or going:
        if not going:
            now = max(now, coming[-1][1][0])
        while coming and len(going) < engine.max_runs and coming[-1][1][0] <= now:
            number, (arrived_at, num_steps) = coming.pop()
            going[number] = Run(number, arrived_at, num_steps, curve.least)
        parked = list(going.values())
        for run in parked:
            run.pass_s = curve.least
        chosen = set(engine.order(parked, engine.width))
        spent_s = engine.turn_s[len(chosen)]
        share, most = engine.disturbance
        seen_s = spent_s * (noise.uniform(1.0, most) if noise.random() < share else 1.0)
        curve.add(len(chosen) * ROWS, seen_s)
        for run in parked:
            run.turns += 1
            is_chosen = run.id in chosen
            run.waited_turns = 0 if is_chosen else run.waited_turns + 1
            run.steps += is_chosen
            run.cost_s += seen_s / len(chosen) * is_chosen
        now += spent_s
        for run in [run for run in parked if run.steps == run.num_steps]:
            del going[run.id]
            played.latencies.setdefault(run.num_steps, []).append(now - run.arrived_at)
    played.ended_at = now
    return played


def p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * len(values))]


def tell(engine: Engine, num_jobs: int, rate: float) -> dict[str, float]:
    saturated, poisson = play(engine, min(num_jobs, 400), None), play(engine, num_jobs, rate)
    everyone = [one for found in poisson.latencies.values() for one in found]
    return {
        "jobs_per_s": round(min(num_jobs, 400) / saturated.ended_at, 3),
        "mean_s": round(fmean(everyone), 2),
        "p95_s": round(p95(everyone), 2),
        **{f"p95_of_{steps}_s": round(p95(poisson.latencies[steps]), 2) for steps in STEPS},
    }


def read_turns() -> dict[int, float]:
    """Seconds of a turn by its pictures: measured at one and at eight, on a line between them."""
    measured = json.loads(OVERHEAD.read_text())
    one, eight = (measured["measured_s"][f"exact_{runs}"]["total_s"] / measured["steps"] for runs in (1, 8))
    return {width: one + (eight - one) * (width - 1) / 7 for width in range(1, 9)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=4_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    turn_s = read_turns()
    slower_s = {width: spent * SLOWER for width, spent in turn_s.items()}
    shapes = {
        "8 runs, all in a pass": (8, turn_s, (0.0, 1.0), 1.0),
        "8 runs, all in a pass, turns a tenth slower": (8, slower_s, (0.0, 1.0), 1.0),
        "8 runs, all in a pass, disturbed": (8, turn_s, (0.9, 4.0), 1.0),
        "8 runs, 4 in a pass": (4, turn_s, (0.0, 1.0), turn_s[8] / turn_s[4] / 2),
    }
    rate = LOAD * 8 / turn_s[8] / fmean(STEPS)
    result: dict[str, Any] = {"jobs": args.jobs, "load": LOAD, "turn_s": turn_s, "orders": {}}
    for shape, (width, taken_s, disturbance, of) in shapes.items():
        found = result["orders"][shape] = {}
        for name, order in ORDERS.items():
            engine = Engine(turn_s=taken_s, max_runs=8, width=width, order=order, disturbance=disturbance)
            found[name] = tell(engine, args.jobs, rate * of)
            print(f"{shape}, {name}: {json.dumps(found[name])}", flush=True)
    if args.out is not None:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
