"""Whatever happens to the bytes of a run's checkpoints is noticed before anything is made of them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine import Hub, Run, Snapshot
from mezzotint.engine.checkpoint.snapshot import decode
from tests.conformance.engine.driving import finish, same_pictures
from tests.conformance.engine.zoo import sdxl, sdxl_request


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return sdxl()


@pytest.fixture(scope="module")
def whole(pipeline: Any) -> tuple[Run, list[bytes]]:
    """A run, and its checkpoint at every step."""
    kept: list[bytes] = []

    def keep(run: Run, snapshot: Snapshot) -> None:
        kept.append(snapshot.encode())

    hub = Hub(pipeline)
    run = hub.submit(sdxl_request(0, 5), checkpoint_every=1, on_checkpoint=keep)
    finish(hub, run)
    return run, kept


@st.composite
def damages(draw: st.DrawFn) -> Any:
    """A function that damages bytes, wherever it strikes."""
    where, length = draw(st.floats(0, 1, exclude_max=True)), draw(st.integers(1, 64))
    flip = draw(st.integers(1, 255))
    kind = draw(st.sampled_from(["flip", "cut", "lose", "double", "zero"]))

    def damage(data: bytes) -> bytes:
        at = int(where * len(data))
        head, middle, tail = data[:at], data[at : at + length], data[at + length :]
        return {
            "flip": head + bytes([data[at] ^ flip]) + data[at + 1 :],
            "cut": head,
            "lose": head + tail,
            "double": head + middle + middle + tail,
            "zero": head + bytes(len(middle)) + tail,
        }[kind]

    return damage


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(step=st.integers(0, 4), damage=damages())
def test_any_damage_to_a_checkpoint_of_any_step_is_found(
    whole: tuple[Run, list[bytes]], step: int, damage: Any
) -> None:
    data = whole[1][step]
    damaged = damage(data)
    if damaged == data:
        return
    with pytest.raises(CheckpointCorrupt):
        decode(damaged)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(pipeline: Any, whole: tuple[Run, list[bytes]]) -> None:
    run, kept = whole
    for step in range(1, 5):
        hub = Hub(pipeline)
        broken = hub.submit(sdxl_request(0, 5), resume=kept[step][:-1])
        assert isinstance(broken.error, CheckpointCorrupt)
        resumed = hub.submit(sdxl_request(0, 5), resume=kept[step - 1])
        finish(hub, resumed)
        assert same_pictures(run, resumed)
        assert resumed.num_calls == run.num_calls - resumed.num_replayed
