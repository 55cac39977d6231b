import pytest

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import Express
from mezzotint.sim.backlog import Backlog
from mezzotint.sim.baselines import choose_first_come, choose_strict_priority
from mezzotint.sim.outcome import Waits, measure_service, measure_waits
from mezzotint.sim.rng import Rng
from mezzotint.sim.simulation import JobArrival, JobRecord, Machine, simulate
from mezzotint.sim.traffic import TWO_GPUS, free_rush, saturation

ALONE = Machine(num_workers=1, speeds=(10.0,))


def arrival(
    at_s: float, *, lane: Tier = Tier.PRO, tenant: str = "t", cost: float = 10.0, model: str = ""
) -> JobArrival:
    return JobArrival(at_s=at_s, lane=lane, tenant=TenantId(tenant), cost=cost, model=model)


def test_jobs_run_one_after_the_other_on_a_machine_for_one() -> None:
    first, second = simulate([arrival(1.0), arrival(1.5)], ALONE, Backlog())
    assert (first.started_s, first.ended_s) == pytest.approx((1.0, 2.0))
    assert (second.wait_s, second.ended_s) == pytest.approx((0.5, 3.0))


def test_jobs_in_one_batch_share_the_workers_speed() -> None:
    stories = simulate([arrival(0.0), arrival(0.0)], Machine(num_workers=1, speeds=(10.0, 16.0)), Backlog())
    assert [story.ended_s for story in stories] == pytest.approx([1.25, 1.25])


def test_jobs_spread_over_the_workers_first() -> None:
    stories = simulate([arrival(0.0), arrival(0.0)], Machine(num_workers=2, speeds=(10.0, 16.0)), Backlog())
    assert [story.ended_s for story in stories] == pytest.approx([1.0, 1.0])


def test_warm_jobs_go_first_for_a_while_and_save_loading() -> None:
    machine = Machine(num_workers=1, speeds=(10.0,), load_s=5.0)
    jobs = [arrival(i / 1e3, tenant=f"t{i}", model="ab"[i % 2]) for i in range(8)]
    ended = max(story.ended_s for story in simulate(jobs, machine, Backlog()))
    assert ended < 8 * 1.0 + 8 * 5.0 - 10.0, "taking turns would load a model for every job"


def test_service_is_what_was_done_in_the_window() -> None:
    story = JobRecord(
        lane=Tier.FREE, share=Tier.FREE, tenant=TenantId("t"), cost=8.0, arrived_s=0.0, started_s=1.0, ended_s=5.0
    )
    assert measure_service([story], 2.0, 3.0) == {Tier.FREE: 2.0}
    assert measure_service([story], 5.0, 9.0) == {}
    assert measure_waits([story], Tier.PRO) == Waits(num_jobs=0, p50_s=0.0, p95_s=0.0, max_s=0.0)


def test_pro_waits_less_than_five_seconds_through_a_free_rush_and_free_gets_its_floor() -> None:
    together: list[JobRecord] = []
    for seed in range(4):
        arrivals = free_rush(Rng(seed))
        stories = simulate(arrivals, TWO_GPUS, Backlog())
        assert len(stories) == len(arrivals), "nobody is lost"
        done = measure_service(stories, 70.0, 300.0)
        free = done[Tier.FREE] + done[Express.PROMOTED]
        assert free / sum(done.values()) >= 1 / 7
        together += stories
    assert measure_waits(together, Tier.PRO, from_s=60.0).p95_s < 5.0


def test_in_one_line_pro_would_wait_minutes_for_the_rush() -> None:
    stories = simulate(free_rush(Rng(0)), TWO_GPUS, Backlog(chooser=choose_first_come))
    assert measure_waits(stories, Tier.PRO, from_s=60.0).p95_s > 120.0


def test_with_every_lane_saturated_each_gets_its_part() -> None:
    """Waits are past every limit soon: Free with its promoted jobs 1.4 of 7, Paid 1.6, Pro 4."""
    done = measure_service(simulate(saturation(Rng(0)), TWO_GPUS, Backlog()), 60.0, 600.0)
    total = sum(done.values())
    assert (done[Tier.PRO] + done[Express.OVERDUE_PRO]) / total == pytest.approx(4 / 7, abs=0.02)
    assert (done[Tier.PAID] + done[Express.OVERDUE_PAID]) / total == pytest.approx(1.6 / 7, abs=0.02)
    assert (done[Tier.FREE] + done[Express.PROMOTED]) / total == pytest.approx(1.4 / 7, abs=0.02)


def test_under_strict_priority_free_would_get_nothing() -> None:
    done = measure_service(simulate(saturation(Rng(0)), TWO_GPUS, Backlog(chooser=choose_strict_priority)), 60.0, 600.0)
    assert Tier.FREE not in done
    assert Express.PROMOTED not in done


def test_equal_dice_tell_the_same_story() -> None:
    assert simulate(free_rush(Rng(5)), TWO_GPUS, Backlog()) == simulate(free_rush(Rng(5)), TWO_GPUS, Backlog())
