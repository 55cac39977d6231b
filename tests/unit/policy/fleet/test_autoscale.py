"""How many workers a pool gets, and the reason that is told."""

from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.fleet.pool import Fleet, Market, Pool, Region
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.autoscale import FleetView, ScaleDecision, ScaleState, autoscale
from mezzotint.policy.fleet.load_plan import PoolReading, WaitingWork
from mezzotint.policy.fleet.scale_reason import SENTENCES, ScaleCause

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)


def waits(work_s: float, lane: Tier = Tier.PAID, wait_s: float = 0.0, **more: object) -> WaitingWork:
    return WaitingWork(model="ink", lane=lane, work_s=work_s, wait_s=wait_s, **more)  # type: ignore[arg-type]


def reading(ready: int, busy: float = 0.0, **more: object) -> PoolReading:
    utilisation = busy / ready if ready else 0.0
    return PoolReading(pool="a", num_ready=ready, utilisation=utilisation, **{"start_s": 30.0, **more})  # type: ignore[arg-type]


def decide(
    pool: Pool, there: PoolReading, *work: WaitingWork, calm_since: datetime | None = None, ceiling: float | None = None
) -> ScaleDecision:
    state = ScaleState(desired=there.num_ready + there.num_starting, changed_at=LONG_AGO, calm_since=calm_since)
    view = FleetView(work=work, readings={"a": there}, states={"a": state})
    (one,) = autoscale(Fleet(pools=(pool,), cost_ceiling_per_hour=ceiling), view, NOW)
    return one


POOL = Pool(name="a", min_workers=1, max_workers=8, price_per_hour=2.0)
CASES: list[tuple[str, ScaleDecision, int, ScaleCause]] = [
    ("a backlog of three minutes' work", decide(POOL, reading(2, 2.0), waits(60.0)), 4, ScaleCause.BACKLOG),
    ("little enough waits", decide(POOL, reading(2, 2.0), waits(6.0)), 2, ScaleCause.STEADY),
    ("more than doubling", decide(POOL, reading(2, 2.0), waits(600.0)), 4, ScaleCause.STEP),
    ("more than max", decide(POOL, reading(6, 6.0), waits(600.0)), 8, ScaleCause.MAXIMUM),
    ("a late lane", decide(POOL, reading(2, 2.0), waits(5.0, Tier.PRO, 9.0)), 3, ScaleCause.LATE),
    (
        "late, and one starts",
        decide(POOL, reading(2, 2.0, num_starting=1), waits(5.0, Tier.PRO, 9.0)),
        3,
        ScaleCause.STEADY,
    ),
    ("late, and workers idle", decide(POOL, reading(2, 0.5), waits(1.0, Tier.PRO, 9.0)), 2, ScaleCause.STEADY),
    ("idle just now", decide(POOL, reading(3)), 3, ScaleCause.COOLING),
    ("idle for 59 s", decide(POOL, reading(3), calm_since=NOW - timedelta(seconds=59)), 3, ScaleCause.COOLING),
    ("idle for a minute", decide(POOL, reading(3), calm_since=NOW - timedelta(seconds=60)), 2, ScaleCause.IDLE),
    ("a quarter goes at once", decide(POOL, reading(8), calm_since=LONG_AGO), 6, ScaleCause.IDLE),
    ("room to spare is needed", decide(POOL, reading(3, 1.7), calm_since=LONG_AGO), 3, ScaleCause.STEADY),
    ("the least", decide(POOL, reading(1), calm_since=LONG_AGO), 1, ScaleCause.MINIMUM),
    ("the ceiling", decide(POOL, reading(2, 2.0), waits(60.0), ceiling=7.0), 3, ScaleCause.COST_CEILING),
    ("a lowered ceiling", decide(POOL, reading(6, 6.0), ceiling=7.0), 3, ScaleCause.COST_CEILING),
    ("no machines", decide(POOL, reading(2, 2.0, can_grow=False), waits(60.0)), 2, ScaleCause.NO_MACHINES),
    ("a faster accelerator", decide(POOL, reading(2, 2.0, speed=3.0), waits(60.0)), 3, ScaleCause.BACKLOG),
    ("a start that takes long", decide(POOL, reading(2, 2.0, start_s=120.0), waits(60.0)), 3, ScaleCause.BACKLOG),
    ("nothing there", decide(Pool(name="a", max_workers=4), reading(0), waits(0.1)), 1, ScaleCause.BACKLOG),
    ("nothing wanted", decide(Pool(name="a", max_workers=4), reading(0)), 0, ScaleCause.MINIMUM),
    ("to zero", decide(Pool(name="a", max_workers=4), reading(1), calm_since=LONG_AGO), 0, ScaleCause.IDLE),
    ("a warm floor", decide(Pool(name="a", max_workers=4, warm_floor=2), reading(1, 1.0)), 3, ScaleCause.WARM_FLOOR),
    ("a raised min", decide(Pool(name="a", min_workers=5, max_workers=6), reading(1)), 5, ScaleCause.MINIMUM),
    ("a lowered max", decide(Pool(name="a", max_workers=2), reading(6, 6.0), waits(600.0)), 2, ScaleCause.MAXIMUM),
]


@pytest.mark.parametrize(("why", "made", "desired", "cause"), CASES, ids=[case[0] for case in CASES])
def test_a_pool_gets_as_many_as_it_needs_and_says_why(
    why: str, made: ScaleDecision, desired: int, cause: ScaleCause
) -> None:
    assert (made.desired, made.reason.cause) == (desired, cause), made.reason.sentence
    assert made.state.changed_at == (NOW if made.desired != made.before else LONG_AGO)


def test_every_cause_has_a_sentence_with_its_numbers() -> None:
    assert set(SENTENCES) == set(ScaleCause)
    late = next(made for _, made, _, cause in CASES if cause is ScaleCause.LATE)
    assert late.reason.sentence == "jobs of pro wait 9 s, their target is 5 s, and every worker is busy"
    held = next(made for _, made, _, cause in CASES if cause is ScaleCause.COST_CEILING)
    assert held.reason.sentence == "60 s of work wait beside 2.0 busy workers: 4 are wanted, the ceiling is 7 an hour"


def sizes(fleet: Fleet, *work: WaitingWork, readings: dict[str, PoolReading] | None = None) -> dict[str, int]:
    there = readings or {}
    states = {name: ScaleState(desired=one.num_ready + one.num_starting) for name, one in there.items()}
    view = FleetView(work=work, readings=there, states=states)
    return {one.pool: one.desired for one in autoscale(fleet, view, NOW)}


def test_little_work_starts_one_worker_and_much_is_split_between_the_markets() -> None:
    pools = (
        Pool(name="steady", max_workers=9, price_per_hour=3.0),
        Pool(name="spot", max_workers=9, price_per_hour=1.0, market=Market.SPOT),
    )
    fleet = Fleet(pools=pools, spot_share=0.7)
    assert sizes(fleet, waits(1.0)) == {"steady": 0, "spot": 1}
    there = {name: PoolReading(pool=name, num_ready=4, utilisation=1.0) for name in ("steady", "spot")}
    grown = sizes(fleet, waits(200.0), readings=there)
    assert grown["spot"] > grown["steady"] > 4
    only = Fleet(pools=pools, spot_share=0.0)
    assert sizes(only, waits(100.0)) == {"steady": 2, "spot": 0}


def test_what_one_pool_has_no_room_for_goes_to_the_next() -> None:
    pools = (
        Pool(name="small", max_workers=1, price_per_hour=1.0),
        Pool(name="large", max_workers=8, price_per_hour=2.0),
    )
    assert sizes(Fleet(pools=pools), waits(30.0)) == {"small": 1, "large": 0}
    assert sizes(Fleet(pools=pools), waits(100.0)) == {"small": 1, "large": 1}
    stuck = {"small": PoolReading(pool="small", can_grow=False)}
    assert sizes(Fleet(pools=pools), waits(30.0), readings=stuck) == {"small": 0, "large": 1}


def test_workers_that_are_there_are_filled_before_others_are_asked_for() -> None:
    pools = (
        Pool(name="cheap", max_workers=4, price_per_hour=1.0),
        Pool(name="dear", max_workers=4, price_per_hour=9.0),
    )
    there = {"dear": PoolReading(pool="dear", num_ready=1)}
    assert sizes(Fleet(pools=pools), waits(30.0), readings=there) == {"cheap": 0, "dear": 1}


def test_a_tenants_own_pool_is_filled_first_and_takes_no_others_work() -> None:
    own = Pool(name="own", max_workers=1, tenants=(TenantId("acme"),))
    fleet = Fleet(pools=(Pool(name="all", max_workers=4), own))
    assert sizes(fleet, waits(30.0, tenant=TenantId("acme"))) == {"all": 0, "own": 1}
    assert sizes(fleet, waits(90.0, tenant=TenantId("acme"))) == {"all": 1, "own": 1}
    assert sizes(fleet, waits(30.0)) == {"all": 1, "own": 0}


def test_work_stays_in_its_region_until_that_is_full() -> None:
    regions = (Region(name="eu", spills_to=("us",)), Region(name="us"), Region(name="asia"))
    pools = tuple(Pool(name=name, max_workers=1, region=name) for name in ("asia", "us", "eu"))
    fleet = Fleet(pools=pools, regions=regions)
    assert sizes(fleet, waits(30.0, region="eu")) == {"asia": 0, "us": 0, "eu": 1}
    assert sizes(fleet, waits(600.0, region="eu")) == {"asia": 0, "us": 1, "eu": 1}
    assert sizes(fleet, waits(600.0, region="us")) == {"asia": 0, "us": 1, "eu": 0}


def test_growth_waits_for_what_drains_where_both_would_pass_the_ceiling() -> None:
    fleet = Fleet(pools=(POOL,), cost_ceiling_per_hour=8.0)
    there = PoolReading(pool="a", num_ready=2, num_draining=2, utilisation=1.0)
    assert sizes(fleet, waits(600.0), readings={"a": there}) == {"a": 2}
    assert sizes(fleet, waits(600.0), readings={"a": PoolReading(pool="a", num_ready=2, utilisation=1.0)}) == {"a": 4}


def test_under_the_ceiling_the_files_order_decides_who_grows() -> None:
    pools = tuple(Pool(name=name, max_workers=2, lanes=(lane,), price_per_hour=1.0) for name, lane in
                  (("pro", Tier.PRO), ("free", Tier.FREE)))  # fmt: skip
    fleet = Fleet(pools=pools, cost_ceiling_per_hour=3.0)
    assert sizes(fleet, waits(999.0, Tier.PRO), waits(9999.0, Tier.FREE)) == {"pro": 2, "free": 1}
