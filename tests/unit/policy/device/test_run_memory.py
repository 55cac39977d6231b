from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.ids import JobId
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.device.run_memory import (
    PATIENCE_S,
    Begin,
    MakeRoom,
    PutOff,
    RunFootprint,
    Wanted,
    choose_next,
    decide_start,
)


def kept(job: str, lane: Tier = Tier.FREE, num_bytes: int = 10, step: int = 5, ran_s: float = 60) -> RunFootprint:
    return RunFootprint(job=JobId(job), lane=lane, step=step, num_steps=30, ran_s=ran_s, num_bytes=num_bytes)


def wanted(lane: Tier = Tier.FREE, num_bytes: int = 10, waited_s: float = 0, job: str = "w") -> Wanted:
    return Wanted(job=JobId(job), lane=lane, num_bytes=num_bytes, waited_s=waited_s)


def test_what_fits_begins_and_so_does_the_first_of_all() -> None:
    assert decide_start(wanted(), [kept("a")], 20) == Begin()
    assert decide_start(wanted(num_bytes=50), [], 20) == Begin()
    assert decide_start(wanted(num_bytes=50), [kept("a")], 0) == Begin()


def test_the_own_lane_and_heavier_ones_are_waited_for() -> None:
    assert decide_start(wanted(), [kept("a"), kept("b")], 20) == PutOff()
    assert decide_start(wanted(Tier.PAID), [kept("a", Tier.PRO), kept("b", Tier.PAID)], 20) == PutOff()


def test_the_lightest_lane_and_in_it_the_run_with_most_left_makes_room() -> None:
    going = [kept("a", Tier.PAID, step=1), kept("b", step=9), kept("c", step=3)]
    assert decide_start(wanted(Tier.PRO), going, 30) == MakeRoom(job=JobId("c"))


def test_runs_that_have_just_begun_or_nearly_ended_stay() -> None:
    assert decide_start(wanted(Tier.PRO), [kept("a", ran_s=1), kept("b", step=28)], 20) == PutOff()


def test_nobody_is_put_aside_in_vain() -> None:
    assert decide_start(wanted(Tier.PRO, num_bytes=30), [kept("a"), kept("b", Tier.PRO, num_bytes=20)], 30) == PutOff()


def test_heavier_lanes_go_first_but_not_before_one_who_has_waited_long() -> None:
    pro, paid, free = wanted(Tier.PRO), wanted(Tier.PAID), wanted(Tier.FREE)
    assert choose_next([free, paid, pro]) is pro
    assert choose_next([free, wanted(Tier.FREE, job="later")]) is free
    old = wanted(Tier.FREE, waited_s=PATIENCE_S)
    assert choose_next([pro, old]) is old


LANES = st.sampled_from(list(Tier))
KEPT = st.builds(
    kept, st.text("abc", min_size=1), LANES, st.integers(0, 50), st.integers(0, 30), st.floats(0, 100)
)  # fmt: skip


@given(st.lists(KEPT, unique_by=lambda one: one.job, max_size=6), LANES, st.integers(0, 60), st.integers(1, 100))
def test_making_room_ends_in_room(going: list[RunFootprint], lane: Tier, num_bytes: int, bound: int) -> None:
    one = wanted(lane, num_bytes)
    while isinstance(outcome := decide_start(one, going, bound), MakeRoom):
        (leaving,) = [run for run in going if run.job == outcome.job]
        assert limits_of(leaving.lane).weight < limits_of(lane).weight
        going = [run for run in going if run is not leaving]
    total = sum(run.num_bytes for run in going) + num_bytes
    assert (outcome == Begin()) == (total <= bound or not going)
