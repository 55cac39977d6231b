"""Latents that are not finite end their run alone, whether the device answers at once or is asked once a turn."""

from typing import Any

import pytest
import torch

from mezzotint.domain.errors import NotFinite
from mezzotint.engine import Hub, Run
from mezzotint.engine import hub as hub_module
from mezzotint.engine.device import latent_checks as latent_checks_module
from mezzotint.engine.device.latent_checks import LatentChecks
from tests.conformance.engine.driving import finish, run_alone, same_pictures, turn_until_idle
from tests.conformance.engine.zoo import flux, flux_request
from tests.unit.engine.test_hub import poison_at


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return flux()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As on a device that the host goes ahead of; how many answers were waited for together."""
    counts: list[int] = []
    real = torch.stack

    def stack(answers: list[torch.Tensor], *dim: int, **kwargs: int) -> torch.Tensor:
        if answers[0].dtype is torch.bool:
            counts.append(len(answers))
        return real(answers, *dim, **kwargs)

    monkeypatch.setattr(latent_checks_module.torch, "stack", stack)
    monkeypatch.setattr(hub_module, "LatentChecks", lambda: LatentChecks(lambda latents: True))
    return counts


def test_a_device_is_asked_once_a_turn_for_all_runs(pipeline: Any, asked: list[int]) -> None:
    hub = Hub(pipeline, exact=False)
    runs = [hub.submit(flux_request(i, 5)) for i in range(4)]
    asked.clear()
    num_turns = 0
    while hub.turn():
        num_turns += 1
    assert all(run.error is None for run in runs)
    assert asked.count(4) == len([count for count in asked if count > 1]) == 5


@pytest.mark.parametrize("num_runs", [1, 2, 8])
def test_a_poisoned_run_ends_by_the_end_of_its_turn_and_nobody_else(
    pipeline: Any, asked: list[int], num_runs: int
) -> None:
    alone = [run_alone(pipeline, flux_request(i, 6)) for i in range(num_runs - 1)]
    hub = Hub(pipeline)
    runs = [hub.submit(flux_request(i, 6)) for i in range(num_runs - 1)]
    poisoned = hub.submit(flux_request(9, 6) | {"callback_on_step_end": poison_at(3)})
    while not poisoned.done:
        hub.turn()
    assert isinstance(poisoned.error, NotFinite)
    assert "step 4" in str(poisoned.error)
    assert poisoned.output is None
    finish(hub, *runs)
    assert all(same_pictures(a, b) for a, b in zip(alone, runs, strict=True))


def test_latents_that_are_not_finite_are_never_kept_in_a_checkpoint(pipeline: Any, asked: list[int]) -> None:
    hub, kept = Hub(pipeline), []

    def note(run: Run, snapshot: Any) -> None:
        kept.append(snapshot.steps)

    request = flux_request(9, 6) | {"callback_on_step_end": poison_at(3)}
    run = hub.submit(request, checkpoint_every=1, on_checkpoint=note)
    turn_until_idle(hub)
    assert isinstance(run.error, NotFinite)
    assert kept == [1, 2, 3]


def test_a_picture_of_latents_that_are_not_finite_is_not_delivered(pipeline: Any, asked: list[int]) -> None:
    hub = Hub(pipeline)
    run = hub.submit(flux_request(9, 4) | {"callback_on_step_end": poison_at(3), "output_type": "latent"})
    turn_until_idle(hub)
    assert isinstance(run.error, NotFinite)
    assert run.output is None


def test_latents_of_whole_numbers_and_steps_without_any_are_taken_as_they_are() -> None:
    checks = LatentChecks(lambda latents: True)
    checks.add("run", 1, None)
    checks.add("run", 1, torch.zeros(1, dtype=torch.int64))
    assert checks.collect() == []
