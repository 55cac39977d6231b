"""The engine's laws, held by every pipeline class of the zoo.

Merged at different steps, a run is what it is alone; resumed in another company, what it was uninterrupted; and what
it is alone, the stock pipeline makes too.
"""

from typing import Any

import numpy as np
import pytest

from mezzotint.engine import Hub, Run
from tests.conformance.engine.driving import finish, pictures, run_alone, same_pictures
from tests.conformance.engine.zoo import SPECIES, Species

STEPS = (4, 6, 5)
CHECKPOINT_AT = (1, 4, 3)
AMPLIFIED = {"KandinskyV22Pipeline": 1e-3}  # its quantised decoder turns a rounding into another code word


@pytest.fixture(scope="module", params=SPECIES, ids=lambda s: s.name)
def species(request: pytest.FixtureRequest) -> Species:
    return request.param


@pytest.fixture(scope="module")
def pipeline(species: Species) -> Any:
    return species.build()


@pytest.fixture(scope="module")
def alone(species: Species, pipeline: Any) -> list[Run]:
    return [run_alone(pipeline, species.request(i, n)) for i, n in enumerate(STEPS)]


@pytest.fixture(scope="module")
def together(species: Species, pipeline: Any) -> tuple[Hub, list[Run]]:
    """Three runs that arrive a turn apart, so that they are at different steps in every pass."""
    hub, runs = Hub(pipeline), []
    for i, (num_steps, at) in enumerate(zip(STEPS, CHECKPOINT_AT, strict=True)):
        runs.append(hub.submit(species.request(i, num_steps), checkpoint_at=at))
        hub.turn()
    finish(hub, *runs)
    return hub, runs


def test_runs_merged_at_different_steps_are_what_they_are_alone_bit_for_bit(
    alone: list[Run], together: tuple[Hub, list[Run]]
) -> None:
    hub, runs = together
    assert hub.num_merged > 0, hub.unmerged_reasons
    assert hub.num_passes < sum(run.num_calls for run in runs)
    assert [same_pictures(a, b) for a, b in zip(alone, runs, strict=True)] == [True] * 3


def test_runs_resumed_in_another_company_are_what_they_were_bit_for_bit(
    species: Species, pipeline: Any, together: tuple[Hub, list[Run]]
) -> None:
    _, runs = together
    hub = Hub(pipeline)
    resumed = [hub.submit(species.request(i, STEPS[i]), resume=runs[i].checkpoint) for i in (2, 0, 1)]
    finish(hub, *resumed)
    before = [runs[i] for i in (2, 0, 1)]
    assert [same_pictures(a, b) for a, b in zip(before, resumed, strict=True)] == [True] * 3
    assert [r.steps for r in resumed] == [r.steps for r in before]
    for whole, rest in zip(before, resumed, strict=True):
        assert rest.num_calls + rest.num_replayed == whole.num_calls
        assert rest.num_replayed > 0


def test_in_fast_mode_the_pictures_are_those_of_the_stock_pipeline(species: Species, pipeline: Any) -> None:
    stock = [pictures(pipeline(**species.request(i, n))) for i, n in enumerate(STEPS)]
    hub, runs = Hub(pipeline, exact=False), []
    for i, num_steps in enumerate(STEPS):
        runs.append(hub.submit(species.request(i, num_steps)))
        hub.turn()
    finish(hub, *runs)
    assert hub.num_merged > 0
    bound = AMPLIFIED.get(species.name, 1e-5)
    assert max(float(np.abs(pictures(r.output) - s).max()) for r, s in zip(runs, stock, strict=True)) <= bound


def test_a_checkpoint_is_no_larger_than_its_latents_and_history(together: tuple[Hub, list[Run]]) -> None:
    _, runs = together
    for run in runs:
        assert run.checkpoint is not None
        latents = run.latents
        assert latents is not None
        # the longest history of the zoo's samplers is PNDM's: four outputs and a sample
        assert len(run.checkpoint) <= latents.numel() * latents.element_size() * 6 + 16 * 1024
