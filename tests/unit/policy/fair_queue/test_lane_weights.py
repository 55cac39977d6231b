import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.lane_weights import MAX_FACTOR, Traffic, reweigh_lanes
from mezzotint.policy.fair_queue.state import base_weights


def late(lane: Tier, p95_wait_s: float) -> Traffic:
    return Traffic(lane=lane, p95_wait_s=p95_wait_s)


def test_a_late_lane_gains_and_a_calm_one_gives_back_and_the_log_hears_of_it() -> None:
    first = reweigh_lanes(base_weights(), [late(Tier.PRO, 6.0), late(Tier.FREE, 1.0)])
    assert first.weights == {Tier.PRO: pytest.approx(4.4), Tier.PAID: 2.0, Tier.FREE: 1.0}
    assert first.reasons == ["pro: p95 wait 6.0 s, target 5 s, weight 4.00 -> 4.40"]
    second = reweigh_lanes(first.weights, [late(Tier.PRO, 4.0)])
    assert (second.weights, second.reasons) == (first.weights, [])
    assert reweigh_lanes(second.weights, [late(Tier.PRO, 2.0)]).weights[Tier.PRO] == pytest.approx(4.0)


@given(st.lists(st.lists(st.builds(late, st.sampled_from(Tier), st.floats(0, 1e9)), max_size=3), max_size=60))
def test_weights_stay_within_their_bounds_and_free_keeps_a_tenth(history: list[list[Traffic]]) -> None:
    weights = base_weights()
    for minute in history:
        weights = reweigh_lanes(weights, minute).weights
    for lane, base in base_weights().items():
        assert base <= weights[lane] <= base * MAX_FACTOR
    assert weights[Tier.FREE] / sum(weights.values()) >= 0.1 - 1e-9
