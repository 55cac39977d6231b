"""A thousand runs leave nothing behind."""

import gc
import resource
from typing import Any

import torch

from mezzotint.engine import Hub
from tests.conformance.engine.driving import turn_until_idle
from tests.conformance.engine.zoo import flux, flux_request


def breaking(pipe: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    raise LookupError("broken on purpose")


def num_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def go_through(hub: Hub, count: int, saved: bytes | None) -> None:
    """Runs of every fate: finished, saved, resumed, broken, cancelled."""
    for first in range(0, count, 8):
        runs = []
        for i in range(first, first + 8):
            fate = i % 8
            request = flux_request(i, 2) | {"output_type": "latent"}
            if fate == 5:
                request["callback_on_step_end"] = breaking
            resume = saved if fate == 6 and saved is not None else None
            if resume is not None:
                request = flux_request(0, 2) | {"output_type": "latent"}
            runs.append(hub.submit(request, checkpoint_every=1 if fate == 4 else None, resume=resume))
        hub.turn()
        hub.cancel(runs[7])
        turn_until_idle(hub)


def test_a_thousand_runs_leave_no_tensor_and_no_growing_memory() -> None:
    pipeline, verdicts = flux(), {}
    hub = Hub(pipeline, verdicts=verdicts)
    whole = hub.submit(flux_request(0, 2) | {"output_type": "latent"}, checkpoint_at=1)
    turn_until_idle(hub)
    go_through(hub, 104, whole.checkpoint)
    tensors, kept = num_tensors(), len(verdicts)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    go_through(hub, 1000, whole.checkpoint)
    assert num_tensors() <= tensors
    assert len(verdicts) == kept
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib < 8 * 1024
    assert hub.num_live == 0
