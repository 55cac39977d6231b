"""Previews of each model are measured by its device and left out beyond their share."""

from typing import Any

import pytest
import torch

from mezzotint.engine.device import clock as clock_module
from mezzotint.policy.device.preview_credit import MOST_S, SHARE
from mezzotint.worker.preview_time import PreviewTime


class Model:
    """A hub as far as its previews see it."""

    device = torch.device("cpu")
    pass_s = 0.0


class Clock:
    """Every preview takes so long; a lagging device tells it when it has caught up."""

    def __init__(self) -> None:
        self.preview_s, self.is_behind = 0.3, False

    def mark(self) -> None:
        pass

    def between(self, begun: Any, ended: Any, *, wait: bool) -> float | None:
        return None if self.is_behind else self.preview_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock_module, "clock_of", lambda device: made)
    return made


def shown(time: PreviewTime, hub: Any, times: int) -> int:
    return sum(time.draw(hub, lambda: "picture") == "picture" for _ in range(times))


def test_beyond_their_share_previews_are_left_out_until_passes_have_earned_more(clock: Clock) -> None:
    time, hub = PreviewTime(), Model()
    assert shown(time, hub, 8) == 4
    hub.pass_s += (4 * clock.preview_s - MOST_S) / SHARE + 0.01
    assert shown(time, hub, 8) == 1
    assert shown(time, Model(), 8) == 4, "another model has its own"


def test_a_device_that_is_behind_is_not_waited_for(clock: Clock) -> None:
    time, hub = PreviewTime(), Model()
    clock.is_behind = True
    assert shown(time, hub, 8) == 8
    clock.is_behind = False
    assert shown(time, hub, 8) == 0, "what it has told meanwhile counts"


def test_a_model_that_is_dropped_is_forgotten(clock: Clock) -> None:
    time, hub = PreviewTime(), Model()
    shown(time, hub, 1)
    del hub
    assert len(time._accounts) == 0
