"""Laws of start-time fair queueing, over random arrivals."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.lane_share import Flow, choose

COSTS = st.floats(0.01, 10)
MAX_COST = 10.0


def serve(lanes: dict[Tier, list[float]], rounds: int) -> list[tuple[Tier, float]]:
    """Let every lane hold its costs from the start; serve one job a round."""
    queues = {lane: list(costs) for lane, costs in lanes.items()}
    tags: dict[Tier, float] = defaultdict(float)
    virtual_time, served = 0.0, []
    for _ in range(rounds):
        flows = [
            Flow(lane=lane, weight=limits_of(lane).weight, finish_tag=tags[lane], head_cost=queue[0])
            for lane, queue in queues.items()
            if queue
        ]
        choice = choose(flows, virtual_time)
        if choice is None:
            break
        virtual_time, tags[choice.lane] = choice.start_tag, choice.finish_tag
        served.append((choice.lane, queues[choice.lane].pop(0)))
    return served


@settings(max_examples=200)
@given(st.fixed_dictionaries({tier: st.lists(COSTS, min_size=40, max_size=40) for tier in Tier}), st.integers(1, 40))
def test_backlogged_lanes_stay_within_the_fairness_bound(lanes: dict[Tier, list[float]], rounds: int) -> None:
    """|W_f/r_f - W_m/r_m| <= l_f/r_f + l_m/r_m (Goyal, Vin, Cheng 1996, theorem 1)."""
    work = dict.fromkeys(Tier, 0.0)
    for lane, cost in serve(lanes, rounds):
        work[lane] += cost
    for f in Tier:
        for m in Tier:
            r_f, r_m = limits_of(f).weight, limits_of(m).weight
            assert abs(work[f] / r_f - work[m] / r_m) <= MAX_COST / r_f + MAX_COST / r_m + 1e-6


@given(st.dictionaries(st.sampled_from(list(Tier)), st.lists(COSTS, min_size=1, max_size=12)))
def test_nothing_waits_while_a_worker_is_free(lanes: dict[Tier, list[float]]) -> None:
    num_jobs = sum(map(len, lanes.values()))
    assert len(serve(lanes, num_jobs + 5)) == num_jobs


def test_a_lane_gets_no_credit_for_idle_time() -> None:
    """Free was idle while Pro worked; when it comes back it does not take the machine for itself."""
    pro = Flow(lane=Tier.PRO, weight=4, finish_tag=100.0, head_cost=1.0)
    free = Flow(lane=Tier.FREE, weight=1, finish_tag=0.0, head_cost=1.0)
    first = choose([pro, free], virtual_time=100.0)
    assert first is not None
    tags = {Tier.PRO: pro.finish_tag, Tier.FREE: free.finish_tag, first.lane: first.finish_tag}
    second = choose(
        [
            Flow(lane=Tier.PRO, weight=4, finish_tag=tags[Tier.PRO], head_cost=1.0),
            Flow(lane=Tier.FREE, weight=1, finish_tag=tags[Tier.FREE], head_cost=1.0),
        ],
        first.start_tag,
    )
    assert second is not None
    assert {first.lane, second.lane} == {Tier.PRO, Tier.FREE}


def test_an_empty_queue_chooses_nothing() -> None:
    assert choose([], 5.0) is None
