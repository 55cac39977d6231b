"""Who goes through the next pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.policy.device.batching import PATIENCE_TURNS, choose_runs, paying_width


@dataclass(frozen=True, kw_only=True)
class Waiting:
    id: int
    label: str = "free"
    batch_key: int = 0
    rows: int = 2
    steps: int = 0
    num_steps: int | None = None
    waited_turns: int = 0
    turns: int = 0
    cost_s: float = 0.0
    pass_s: Mapping[int, float] = field(default_factory=dict)


def test_all_go_while_they_fit() -> None:
    assert sorted(choose_runs([Waiting(id=i) for i in range(8)], {}, max_rows=16)) == list(range(8))


def test_in_a_lane_the_shortest_remaining_go_first() -> None:
    parked = [
        Waiting(id=0, steps=10, num_steps=50),
        Waiting(id=1, steps=2, num_steps=20),
        Waiting(id=2, steps=1, num_steps=4),
        Waiting(id=3),  # not begun: its first step tells how many there are
    ]
    assert choose_runs(parked, {}, max_rows=6) == [3, 2, 1]


def test_short_runs_overtake_a_long_one_only_until_it_has_been_here_for_as_long() -> None:
    long = Waiting(id=0, steps=10, num_steps=50, turns=30)
    assert choose_runs([long, Waiting(id=1, num_steps=4)], {}, max_rows=2) == [1]
    assert choose_runs([long, Waiting(id=1, num_steps=20)], {}, max_rows=2) == [0]


def test_the_least_served_lane_goes_first() -> None:
    parked = [
        Waiting(id=0, label="a", cost_s=3.0),
        Waiting(id=1, label="b", cost_s=1.0, num_steps=50),
        Waiting(id=2, label="c", cost_s=2.0),
    ]
    assert choose_runs(parked, {}, max_rows=4) == [1, 2]


def test_service_counts_by_the_weight_of_the_lane() -> None:
    parked = [Waiting(id=0, label="pro", cost_s=3.0), Waiting(id=1, label="free", cost_s=2.0)]
    assert choose_runs(parked, {"pro": 4.0, "free": 1.0}, max_rows=2) == [0]


def test_whoever_waited_long_goes_before_everybody() -> None:
    parked = [
        Waiting(id=0, label="pro"),
        Waiting(id=1, cost_s=9.0, waited_turns=PATIENCE_TURNS),
        Waiting(id=2, cost_s=9.0, waited_turns=PATIENCE_TURNS + 1),
    ]
    assert choose_runs(parked, {"pro": 100.0}, max_rows=4) == [2, 1]


def test_every_group_gets_a_pass() -> None:
    parked = [Waiting(id=0, batch_key=0), Waiting(id=1, batch_key=1, cost_s=50.0)]
    assert sorted(choose_runs(parked, {}, max_rows=2)) == [0, 1]


def test_a_run_wider_than_the_cap_goes_alone() -> None:
    assert choose_runs([Waiting(id=0, rows=40), Waiting(id=1)], {}, max_rows=16) == [0]


@pytest.mark.parametrize(
    ("pass_s", "width"),
    [
        ({}, 16),
        ({2: 1.0}, 16),
        ({2: 1.0, 4: 1.1, 8: 1.3, 16: 2.0}, 16),  # small pictures: wide passes cost little more
        ({2: 1.0, 4: 2.0, 8: 4.0, 16: 8.0}, 16),  # as good wide as narrow
        ({2: 1.0, 4: 2.5}, 2),  # large pictures: time-slice
        ({2: 1.0, 4: 2.3}, 16),  # no more than noise
        ({2: 1.0, 4: 1.4, 8: 3.5, 16: 9.0}, 4),
        ({2: 1.0, 4: 3.0, 8: 2.0}, 16),  # a slow moment in the middle
        ({2: 1.0, 4: 1.8, 8: 3.7, 16: 9.0}, 8),
        ({2: 0.0, 32: 1.0}, 16),
    ],
)
def test_a_pass_is_as_wide_as_it_pays(pass_s: Mapping[int, float], width: int) -> None:
    assert paying_width(pass_s, max_rows=16) == width


def test_a_group_is_cut_to_the_width_that_pays() -> None:
    parked = [Waiting(id=i, pass_s={2: 1.0, 4: 2.5}) for i in range(4)]
    assert choose_runs(parked, {}, max_rows=16) == [0]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(1, 3), st.lists(st.sampled_from(["free", "pro"]), min_size=12, max_size=12))
def test_nobody_waits_for_ever_and_time_follows_the_weights(count: int, per_turn: int, labels: list[str]) -> None:
    weights = {"free": 1.0, "pro": 4.0}
    runs = {i: Waiting(id=i, label=labels[i], rows=1) for i in range(count)}
    longest = 0
    for _ in range(400):
        going = set(choose_runs(list(runs.values()), weights, max_rows=per_turn))
        assert 1 <= len(going) <= per_turn
        for i, run in runs.items():
            runs[i] = (
                replace(run, cost_s=run.cost_s + 1.0, waited_turns=0)
                if i in going
                else replace(run, waited_turns=run.waited_turns + 1)
            )
        longest = max(longest, *(run.waited_turns for run in runs.values()))
    assert longest <= PATIENCE_TURNS + count
    pro = [run.cost_s for run in runs.values() if run.label == "pro"]
    free = [run.cost_s for run in runs.values() if run.label == "free"]
    if pro and free:
        assert fmean(pro) >= fmean(free) - 1


@given(st.permutations([Waiting(id=i, cost_s=float(i % 3), num_steps=10 - i) for i in range(6)]))
def test_the_order_of_asking_does_not_matter(parked: list[Waiting]) -> None:
    assert choose_runs(parked, {}, max_rows=6) == choose_runs(sorted(parked, key=lambda w: w.id), {}, max_rows=6)
