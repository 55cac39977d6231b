from mezzotint.domain.ids import JobId
from mezzotint.domain.tier import Tier
from mezzotint.policy.device.preemption import RunningJob, choose_victim


def going(name: str, lane: Tier, step: int = 5, ran_s: float = 10.0) -> RunningJob:
    return RunningJob(job=JobId(name), lane=lane, step=step, num_steps=30, ran_s=ran_s)


def test_the_lightest_lane_makes_room_and_in_it_who_has_most_left() -> None:
    runs = [going("paid", Tier.PAID, step=1), going("late", Tier.FREE, step=20), going("early", Tier.FREE, step=2)]
    assert choose_victim(runs, Tier.PRO) == "early"


def test_nobody_moves_while_the_lane_has_a_place() -> None:
    assert choose_victim([going("pro", Tier.PRO), going("free", Tier.FREE)], Tier.PRO) is None


def test_a_run_that_just_began_keeps_its_place() -> None:
    """Otherwise a stream of Pro jobs could keep it from ever getting further."""
    assert choose_victim([going("free", Tier.FREE, ran_s=1.0)], Tier.PRO) is None


def test_a_run_that_nearly_ended_keeps_its_place() -> None:
    assert choose_victim([going("free", Tier.FREE, step=27)], Tier.PRO) is None
    assert choose_victim([], Tier.PRO) is None
