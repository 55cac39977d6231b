"""The engine's laws, held by every pipeline class of the zoo: merged equals alone, resumed equals uninterrupted."""

from typing import Any

import numpy as np
import pytest

from mezzotint.engine import Hub, Run
from tests.conformance.engine.zoo import SPECIES, Species

STEPS = (4, 6, 5)


def pictures(output: Any) -> np.ndarray:
    return np.asarray(output.images if hasattr(output, "images") else output[0])


def finish(hub: Hub, *runs: Run) -> None:
    while hub.turn():
        pass
    for run in runs:
        assert run.error is None, run.traceback


@pytest.mark.parametrize("species", SPECIES, ids=lambda s: s.name)
def test_runs_merged_at_different_steps_equal_the_same_runs_alone_bit_for_bit(species: Species) -> None:
    pipeline = species.build()
    alone = []
    for i, num_steps in enumerate(STEPS):
        hub = Hub(pipeline)
        run = hub.submit(species.request(i, num_steps))
        finish(hub, run)
        alone.append(run)
    hub = Hub(pipeline)
    together = []
    for i, num_steps in enumerate(STEPS):
        together.append(hub.submit(species.request(i, num_steps), checkpoint_at=2 + i))
        hub.turn()
    finish(hub, *together)
    assert hub.num_merged > 0
    assert all(np.array_equal(pictures(a.output), pictures(b.output)) for a, b in zip(alone, together, strict=True))

    resumed_hub = Hub(pipeline)
    resumed = [
        resumed_hub.submit(species.request(i, n), resume=run.checkpoint)
        for i, (n, run) in enumerate(zip(STEPS, together, strict=True))
    ]
    finish(resumed_hub, *resumed)
    for before, after in zip(together, resumed, strict=True):
        assert np.array_equal(pictures(before.output), pictures(after.output))
        assert after.num_calls + after.num_replayed == before.num_calls
        assert after.num_replayed > 0
