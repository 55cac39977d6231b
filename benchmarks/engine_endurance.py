"""Time and memory of a thousand runs in one hub: does anything grow?

    python benchmarks/engine_endurance.py [--runs 1000] [--steps 2] [--out benchmarks/results/engine_endurance.json]

The starter model, eight runs in flight, eight prompts, a new seed each, every fourth run with checkpoints. After each
tenth of the runs: CPU time of a run, resident memory, live tensors. Two minutes.
"""

import argparse
import gc
import json
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from serve import hardware

from mezzotint.engine import EmbeddingCache, Hub, Run
from mezzotint.engine.models import files, load
from mezzotint.main.served_models import MAX_ROWS, WEIGHTS
from mezzotint.policy.device.batching import choose_runs

IN_FLIGHT = 8
THINGS = ("apple", "car", "fish", "heart", "house", "flower", "butterfly", "hat")


def hub_of_starter() -> Hub:
    pipeline = load.load_pipeline(files.locate("starter"), "cpu")
    EmbeddingCache().attach(pipeline)
    return Hub(pipeline, max_rows=MAX_ROWS, choose=partial(choose_runs, weights=WEIGHTS, max_rows=MAX_ROWS))


def submit(hub: Hub, number: int, steps: int) -> Run:
    request = {
        "prompt": f"a {THINGS[number % len(THINGS)]}",
        "num_inference_steps": steps,
        "generator": torch.Generator().manual_seed(number),
    }
    return hub.submit(request, checkpoint_every=1 if number % 4 == 0 else None)


def go_through(hub: Hub, numbers: Iterator[int], steps: int) -> None:
    going: list[Run] = []
    while True:
        while len(going) < IN_FLIGHT and (number := next(numbers, None)) is not None:
            going.append(submit(hub, number, steps))
        if not going:
            return
        hub.turn()
        failed = [run.error for run in going if run.error is not None]
        assert not failed, failed
        going = [run for run in going if not run.done]


def held() -> dict[str, Any]:
    gc.collect()
    tensors = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
    return {"resident_mib": round(psutil.Process().memory_info().rss / 2**20, 1), "tensors": tensors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    hub, tenth, rows = hub_of_starter(), args.runs // 10, []
    go_through(hub, iter(range(-IN_FLIGHT, 0)), args.steps)
    rows.append({"runs": 0, **held()})
    for first in range(0, args.runs, tenth):
        begun = time.process_time()
        go_through(hub, iter(range(first, first + tenth)), args.steps)
        spent_ms = 1e3 * (time.process_time() - begun) / tenth
        rows.append({"runs": first + tenth, "cpu_ms_a_run": round(spent_ms, 1), **held()})
    result = {"hardware": hardware(), "steps": args.steps, "live_runs_at_end": hub.num_live, "rows": rows}
    text = json.dumps(result, indent=2)
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
