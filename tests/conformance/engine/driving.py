"""Running hubs to the end, and comparing what comes out."""

from typing import Any

import numpy as np

from mezzotint.engine import Hub, Run


def turn_until_idle(hub: Hub, limit: int = 5000) -> None:
    for _ in range(limit):
        if not hub.turn():
            return
    raise AssertionError(f"the hub was not done after {limit} turns")


def finish(hub: Hub, *runs: Run) -> None:
    turn_until_idle(hub)
    for run in runs:
        assert run.error is None, run.traceback or repr(run.error)


def run_alone(pipeline: Any, call_kwargs: dict[str, Any], **options: Any) -> Run:
    hub = Hub(pipeline)
    run = hub.submit(call_kwargs, **options)
    finish(hub, run)
    return run


def pictures(output: Any) -> np.ndarray:
    """All arrays of a pipeline's output in one row."""
    fields = output.values() if isinstance(output, dict) else output
    arrays = [np.asarray(item, dtype=np.float32).ravel() for item in fields if item is not None]
    return np.concatenate(arrays)


def same_pictures(one: Run, other: Run) -> bool:
    return bool(np.array_equal(pictures(one.output), pictures(other.output)))
