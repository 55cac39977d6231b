import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.refusal import RefusalCode
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.overload import (
    MAX_RETRY_AFTER_S,
    MIN_RETRY_AFTER_S,
    Load,
    Pressure,
    reassess_load,
    refuse_overload,
    retry_after_s,
)


def pressure(num_queued: int, p99_wait_s: float = 0.0, drain_per_s: float = 1.0) -> Pressure:
    return Pressure(num_queued=num_queued, p99_wait_s=p99_wait_s, drain_per_s=drain_per_s)


@pytest.mark.parametrize(
    ("load", "num_queued", "p99_wait_s", "then"),
    [
        (Load.NORMAL, 501, 181, Load.SHEDDING),
        (Load.NORMAL, 500, 181, Load.NORMAL),
        (Load.NORMAL, 501, 180, Load.NORMAL),
        (Load.SHEDDING, 200, 0, Load.SHEDDING),
        (Load.SHEDDING, 199, 999, Load.NORMAL),
    ],
)
def test_shedding_begins_at_the_high_marks_and_ends_at_the_low_one(
    load: Load, num_queued: int, p99_wait_s: float, then: Load
) -> None:
    assert reassess_load(load, pressure(num_queued, p99_wait_s)) is then


@given(st.integers(200, 500), st.floats(0, 1e6), st.sampled_from(Load))
def test_between_the_marks_nothing_changes(num_queued: int, p99_wait_s: float, load: Load) -> None:
    assert reassess_load(load, pressure(num_queued, p99_wait_s)) is load


def test_only_free_is_shed_and_is_told_when_to_come_back() -> None:
    assert refuse_overload(Load.SHEDDING, Tier.PRO, pressure(900)) is None
    assert refuse_overload(Load.SHEDDING, Tier.PAID, pressure(900)) is None
    assert refuse_overload(Load.NORMAL, Tier.FREE, pressure(900, 999)) is None
    refused = refuse_overload(Load.SHEDDING, Tier.FREE, pressure(500, drain_per_s=2.0))
    assert refused is not None
    assert refused.code is RefusalCode.OVERLOADED
    assert refused.retry_after_s == 150
    assert "150 seconds" in refused.hint


def test_where_the_pace_is_not_known_half_of_what_others_waited_is_told() -> None:
    assert retry_after_s(pressure(900, 400.0, drain_per_s=0.0)) == 200


@given(st.integers(0, 10**9), st.floats(0, 1e9))
def test_the_time_to_come_back_is_bounded(num_queued: int, drain_per_s: float) -> None:
    assert MIN_RETRY_AFTER_S <= retry_after_s(pressure(num_queued, 0, drain_per_s)) <= MAX_RETRY_AFTER_S
