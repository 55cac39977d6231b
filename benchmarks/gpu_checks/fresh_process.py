"""What must be done in a process that has computed nothing: draw with cold libraries, then resume a checkpoint.

    python -m gpu_checks.fresh_process DEVICE CHECKPOINT STEPS ROWS

The last line of the output is the answer, as JSON.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from mezzotint.environment import set_device_environment, wait_passively

COLD_RUNS = 8
COLD_STEPS = 3


def draw_cold(device: str) -> dict[str, Any]:
    """Draw some runs of the starter at once: what passes of each width were found to take, and which width pays."""
    import torch

    from gpu_checks.drive import draw, load_starter, starter_request
    from mezzotint.engine import Hub
    from mezzotint.main.served_models import MAX_ROWS
    from mezzotint.policy.device.batching import paying_width

    seen: dict[int, float] = {}

    def choose(parked: Any) -> list[int]:
        seen.update(parked[0].pass_s)
        return [run.id for run in parked]

    hub = Hub(load_starter(torch.device(device)), exact=False, max_rows=MAX_ROWS, choose=choose, verdicts={})
    draw(hub, [starter_request(i, COLD_STEPS + 1) for i in range(COLD_RUNS)])
    return {"seconds_by_rows": seen, "paying_width": paying_width(seen, MAX_ROWS), "max_rows": MAX_ROWS}


def resume(device: str, checkpoint: Path, steps: int, rows: int) -> dict[str, Any]:
    """Go on from a checkpoint of the starter's first request."""
    import torch

    from gpu_checks.drive import digest, finish, load_starter, starter_request
    from mezzotint.engine import Hub

    hub = Hub(load_starter(torch.device(device)), exact=True, fixed_rows=rows)
    run = hub.submit(starter_request(0, steps), resume=checkpoint.read_bytes())
    finish(hub, run)
    return {"digest": digest(run), "num_replayed": run.num_replayed}


def main(device: str, checkpoint: str, steps: str, rows: str) -> None:
    wait_passively()
    set_device_environment()
    warnings.simplefilter("ignore")
    cold = draw_cold(device)
    print(json.dumps({"cold": cold, "resumed": resume(device, Path(checkpoint), int(steps), int(rows))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
