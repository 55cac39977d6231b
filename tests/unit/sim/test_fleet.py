"""A fleet that grows and shrinks with its load, through the policies of production."""

from itertools import pairwise

import pytest

from mezzotint.domain.fleet.pool import Fleet, Market, Pool
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.scale_reason import ScaleCause
from mezzotint.sim.backlog import Backlog
from mezzotint.sim.fleet import FleetHistory, FleetSimulation, PoolMachine
from mezzotint.sim.rng import Rng
from mezzotint.sim.simulation import JobArrival
from mezzotint.sim.traffic import Crowd, arrive_steadily

MACHINE = PoolMachine(speeds=(10.0, 14.0, 16.5, 18.0), start_s=30.0)
CROWD = Crowd(lane=Tier.PAID, num_tenants=20, rate=1.0, cost=(20.0, 40.0))


def rise_and_fall(fleet: Fleet, peak: float = 3.0) -> FleetHistory:
    """A fifth of a worker's work, then `peak` workers' for five minutes, then a fifth again."""
    rng, arrivals = Rng(1), []
    for from_s, until_s, part in ((0.0, 120.0, 0.2), (120.0, 420.0, peak), (420.0, 900.0, 0.2)):
        rate = part * max(MACHINE.speeds) / 30.0
        crowd = Crowd(lane=CROWD.lane, num_tenants=CROWD.num_tenants, rate=rate, cost=CROWD.cost)
        arrivals += list(arrive_steadily(crowd, from_s, until_s, rng))
    machines = {pool.name: MACHINE for pool in fleet.pools}
    return FleetSimulation(fleet=fleet, machines=machines, backlog=Backlog()).run(arrivals, until_s=900.0)


@pytest.fixture(scope="module")
def history() -> FleetHistory:
    return rise_and_fall(Fleet(pools=(Pool(name="a", min_workers=1, max_workers=4),)))


def test_one_worker_becomes_four_and_one_again_by_load_alone(history: FleetHistory) -> None:
    sizes = [moment.decisions[0].desired for moment in history.moments]
    assert sizes[1] == 1
    assert max(sizes) == 4
    assert sizes[-1] == 1
    turns = [after - before for before, after in pairwise(sizes) if after != before]
    first_down = next(i for i, turn in enumerate(turns) if turn < 0)
    assert all(turn > 0 for turn in turns[:first_down])
    assert all(turn < 0 for turn in turns[first_down:]), "it does not flap"


def test_every_change_has_its_reason(history: FleetHistory) -> None:
    changes = [one for moment in history.moments for one in moment.decisions if one.desired != one.before]
    ups = {one.reason.cause for one in changes[1:] if one.desired > one.before}
    assert ups <= {ScaleCause.BACKLOG, ScaleCause.STEP, ScaleCause.LATE, ScaleCause.MAXIMUM}
    assert {one.reason.cause for one in changes if one.desired < one.before} == {ScaleCause.IDLE}
    assert all(one.reason.sentence for one in changes)


def test_no_job_and_no_step_is_lost_when_workers_go(history: FleetHistory) -> None:
    assert len(history.records) > 150
    assert all(record.ended_s > record.started_s for record in history.records)
    steps = sum(record.cost for record in history.records)
    assert steps / max(MACHINE.speeds) < history.worker_s["a"], "work is done by workers that were there"


def test_a_ceiling_of_cost_and_the_cheap_market_are_heeded() -> None:
    pools = (
        Pool(name="steady", min_workers=1, max_workers=8, price_per_hour=3.0),
        Pool(name="spot", max_workers=8, price_per_hour=1.0, market=Market.SPOT),
    )
    fleet = Fleet(pools=pools, cost_ceiling_per_hour=8.0)
    done = rise_and_fall(fleet, peak=6.0)
    prices = {pool.name: pool.price_per_hour or 0.0 for pool in pools}
    for moment in done.moments:
        assert sum(prices[one.pool] * one.desired for one in moment.decisions) <= 8.0
    assert done.worker_s["spot"] > done.worker_s["steady"]


def test_a_pool_of_nothing_starts_a_worker_for_one_job_and_lets_it_go() -> None:
    fleet = Fleet(pools=(Pool(name="a", max_workers=4),))
    job = JobArrival(at_s=10.0, lane=Tier.PRO, tenant=TenantId("t"), cost=18.0)
    done = FleetSimulation(fleet=fleet, machines={"a": MACHINE}, backlog=Backlog()).run([job], until_s=200.0)
    assert 30.0 <= done.records[0].wait_s <= 35.0, "a round, and its start"
    assert max(moment.decisions[0].desired for moment in done.moments) == 1
    assert done.moments[-1].num_ready == {"a": 0}
