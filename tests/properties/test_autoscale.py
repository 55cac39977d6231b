"""Laws of autoscaling, under any fleet, any load and any order of loads."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.domain.fleet.pool import Fleet, Market, Pool
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.autoscale import SCALE_RULES, FleetView, ScaleDecision, ScaleState, autoscale
from mezzotint.policy.fleet.load_plan import PoolReading, WaitingWork

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = ("ink", "xl")
few = settings(max_examples=60)


@st.composite
def fleets(draw: st.DrawFn, *, ceiling: bool = False) -> Fleet:
    pools = []
    for i in range(draw(st.integers(1, 3))):
        least = draw(st.integers(0, 4))
        pool = Pool(
            name=f"pool-{i}",
            min_workers=least,
            max_workers=max(1, least + draw(st.integers(0, 12))),
            warm_floor=draw(st.integers(0, 1)),
            models=draw(st.sampled_from([(), ("ink",), ("ink", "xl")])),
            lanes=draw(st.sampled_from([tuple(Tier), (Tier.PRO,), (Tier.FREE, Tier.PAID)])),
            tenants=draw(st.sampled_from([(), (), (TenantId("acme"),)])),
            market=draw(st.sampled_from(list(Market))),
            price_per_hour=draw(st.sampled_from([0.0, 0.5, 3.0])),
        )
        pools.append(pool)
    least_cost = sum((pool.price_per_hour or 0.0) * pool.min_workers for pool in pools)
    most = least_cost + draw(st.floats(0.5, 20.0)) if ceiling else None
    share = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    return Fleet(pools=tuple(pools), cost_ceiling_per_hour=most, spot_share=share)


work = st.lists(
    st.builds(
        WaitingWork,
        model=st.sampled_from(MODELS),
        lane=st.sampled_from(list(Tier)),
        work_s=st.floats(0.0, 5000.0),
        wait_s=st.floats(0.0, 300.0),
        tenant=st.sampled_from([None, TenantId("acme")]),
    ),
    max_size=4,
    unique_by=lambda kind: (kind.model, kind.lane, kind.tenant),
)


@st.composite
def views(draw: st.DrawFn, fleet: Fleet, *, anywhere: bool = True) -> FleetView:
    """Pools with any number of workers within their bounds, at any moment of their lives."""
    readings, states = {}, {}
    for pool in fleet.pools:
        desired = draw(st.integers(pool.min_workers, pool.max_workers))
        ready = draw(st.integers(0, desired))
        readings[pool.name] = PoolReading(
            pool=pool.name,
            num_ready=ready,
            num_starting=draw(st.integers(0, desired - ready)),
            num_draining=draw(st.integers(0, 2)) if anywhere else 0,
            utilisation=draw(st.floats(0.0, 1.0)),
            start_s=draw(st.sampled_from([1.0, 20.0, 120.0])),
            speed=draw(st.sampled_from([0.5, 1.0, 3.0])),
            can_grow=draw(st.booleans()),
        )
        ages = st.one_of(st.none(), st.floats(0.0, 600.0).map(lambda age: NOW - timedelta(seconds=age)))
        states[pool.name] = ScaleState(desired=desired, changed_at=draw(ages), calm_since=draw(ages))
    return FleetView(work=draw(work), readings=readings, states=states)


def decide(fleet: Fleet, view: FleetView, now: datetime = NOW) -> dict[str, ScaleDecision]:
    return {one.pool: one for one in autoscale(fleet, view, now)}


def cost(fleet: Fleet, sizes: dict[str, int]) -> float:
    return sum((pool.price_per_hour or 0.0) * sizes[pool.name] for pool in fleet.pools)


@few
@given(st.data())
def test_no_decision_leaves_the_bounds_or_takes_a_large_step(data: st.DataObject) -> None:
    fleet = data.draw(fleets())
    view = data.draw(views(fleet))
    for pool in fleet.pools:
        one = decide(fleet, view)[pool.name]
        assert pool.min_workers <= one.desired <= pool.max_workers
        assert one.desired - one.before <= SCALE_RULES.step_up(one.before)
        assert one.before - one.desired <= SCALE_RULES.step_down(one.before)
        assert one.reason.sentence
        assert one.state.desired == one.desired


@few
@given(st.data())
def test_more_load_never_means_fewer_workers(data: st.DataObject) -> None:
    fleet = data.draw(fleets())
    view = data.draw(views(fleet))
    grown = [
        replace(
            kind, work_s=kind.work_s * data.draw(st.floats(1.0, 4.0)), wait_s=kind.wait_s + data.draw(st.floats(0, 60))
        )
        for kind in view.work
    ]
    readings = {
        name: replace(one, utilisation=one.utilisation + data.draw(st.floats(0.0, 1.0)) * (1.0 - one.utilisation))
        for name, one in view.readings.items()
    }
    less, more = decide(fleet, view), decide(fleet, replace(view, work=grown, readings=readings))
    for pool in fleet.pools:
        assert more[pool.name].desired >= less[pool.name].desired


@few
@given(st.data())
def test_the_ceiling_of_cost_holds_with_what_drains(data: st.DataObject) -> None:
    fleet = data.draw(fleets(ceiling=True))
    view = data.draw(views(fleet))
    made = decide(fleet, view)
    ceiling = fleet.cost_ceiling_per_hour or 0.0
    assert cost(fleet, {name: one.desired for name, one in made.items()}) <= ceiling + 1e-6
    present = {
        name: max(made[name].desired, one.num_ready + one.num_starting) + one.num_draining
        for name, one in view.readings.items()
    }
    before = {
        name: max(min(one.desired, one.before), view.readings[name].num_ready + view.readings[name].num_starting)
        + view.readings[name].num_draining
        for name, one in made.items()
    }
    assert cost(fleet, present) <= max(ceiling, cost(fleet, before)) + 1e-6, "growth is deferred while others drain"
    for pool in fleet.pools:
        assert pool.min_workers <= made[pool.name].desired <= pool.max_workers


@few
@given(fleets(), st.lists(st.tuples(work, st.floats(0.0, 1.0), st.floats(1.0, 90.0)), min_size=2, max_size=25))
def test_no_load_makes_a_pool_flap(fleet: Fleet, loads: list[tuple[list[WaitingWork], float, float]]) -> None:
    """However the load jumps, a worker goes only after a calm minute in which nothing called for it."""
    states: dict[str, ScaleState] = {}
    now, last_up = NOW, dict.fromkeys((pool.name for pool in fleet.pools), NOW)
    for waiting, utilisation, after_s in loads:
        now += timedelta(seconds=after_s)
        readings = {
            name: PoolReading(pool=name, num_ready=state.desired, utilisation=utilisation)
            for name, state in states.items()
        }
        for one in autoscale(fleet, FleetView(work=waiting, readings=readings, states=states), now):
            if one.desired > one.before:
                last_up[one.pool] = now
            if one.desired < one.before:
                assert now - last_up[one.pool] >= timedelta(seconds=SCALE_RULES.calm_s)
            states[one.pool] = one.state


@few
@given(st.floats(0.0, 9.5), st.floats(1.0, 200.0))
def test_a_constant_load_comes_to_rest_with_room_for_itself(busy: float, start_s: float) -> None:
    fleet = Fleet(pools=(Pool(name="a", min_workers=1, max_workers=20),))
    state, now, sizes, waiting_s = ScaleState(), NOW, [], 0.0
    for _ in range(90):
        ready = max(state.desired, 1)
        is_full = waiting_s > 0.0 or busy > ready
        reading = PoolReading(pool="a", num_ready=ready, utilisation=1.0 if is_full else busy / ready, start_s=start_s)
        waiting = [WaitingWork(model="ink", lane=Tier.FREE, work_s=waiting_s)]
        (one,) = autoscale(fleet, FleetView(work=waiting, readings={"a": reading}, states={"a": state}), now)
        state, now = one.state, now + timedelta(seconds=60)
        waiting_s = max(0.0, waiting_s + (busy - ready) * 60.0)
        sizes.append(one.desired)
    assert len(set(sizes[-20:])) == 1, sizes
    assert sizes[-1] + SCALE_RULES.tolerance >= busy
    assert sizes[-1] <= busy / SCALE_RULES.target_utilisation + 2
