"""Which region serves a job: the nearest that can in time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.domain.fleet.pool import Fleet, Pool, Region
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.regions import (
    RegionCause,
    RegionReading,
    RegionsView,
    RegionWork,
    choose_places,
    choose_region,
    predict_wait_s,
    serves_region,
)

FLEET = Fleet(
    pools=tuple(Pool(name=name, region=name) for name in ("eu", "us", "asia")),
    regions=(Region(name="eu", spills_to=("us", "asia")), Region(name="us", spills_to=("eu",)), Region(name="asia")),
)


def reading(wait_s: float | None, num_healthy: int = 1) -> RegionReading:
    return RegionReading(num_healthy=num_healthy, wait_s={} if wait_s is None else {Tier.PAID: wait_s})


@pytest.mark.parametrize(
    ("why", "home", "eu", "us", "asia", "region", "cause"),
    [
        ("in time at home", "eu", reading(29.0), reading(1.0), reading(1.0), "eu", RegionCause.HOME),
        ("late at home", "eu", reading(31.0), reading(20.0), reading(1.0), "us", RegionCause.SPILL_OVER),
        ("the nearest is late, too", "eu", reading(31.0), reading(40.0), reading(1.0), "asia", RegionCause.SPILL_OVER),
        ("all are late, one far less", "eu", reading(90.0), reading(40.0), reading(50.0), "us", RegionCause.SPILL_OVER),
        ("all are late alike", "eu", reading(90.0), reading(80.0), reading(85.0), "eu", RegionCause.HOME),
        ("no healthy worker", "eu", reading(0.0, 0), reading(9.0), reading(1.0), "us", RegionCause.AWAY),
        ("cut off", "eu", None, reading(9.0), reading(1.0), "us", RegionCause.AWAY),
        ("nothing ended yet", "eu", reading(None), reading(1.0), reading(1.0), "eu", RegionCause.HOME),
        ("spills nowhere", "asia", reading(1.0), reading(1.0), reading(500.0), "asia", RegionCause.HOME),
        ("nobody anywhere", "us", None, reading(1.0, 0), reading(1.0), "us", RegionCause.NOWHERE),
    ],
)  # fmt: skip
def test_a_job_goes_to_the_nearest_region_that_serves_it_in_time(
    why: str,
    home: str,
    eu: RegionReading | None,
    us: RegionReading | None,
    asia: RegionReading | None,
    region: str,
    cause: RegionCause,
) -> None:
    readings = {name: one for name, one in (("eu", eu), ("us", us), ("asia", asia)) if one is not None}
    chosen = choose_region(FLEET, home, Tier.PAID, readings)
    assert (chosen.region, chosen.cause) == (region, cause), chosen.reason
    assert chosen.reason
    serving = [name for name in ("eu", "us", "asia") if serves_region(FLEET, name, home, Tier.PAID, readings)]
    assert serving == [region], "one region takes it, and no other"


def view(
    waiting: dict[tuple[str, Tier], RegionWork] | None = None, *, fleet: Fleet | None = FLEET, **num_healthy: int
) -> RegionsView:
    """Regions of gateways in Europe and America, each with so many healthy workers."""
    healthy = {(name, lane): number for name, number in num_healthy.items() for lane in Tier}
    return RegionsView(homes=frozenset({"eu", "us"}), fleet=fleet, num_healthy=healthy, waiting=waiting or {})


def test_a_region_takes_its_own_jobs_and_those_that_spill_over() -> None:
    own = {(lane, "us") for lane in Tier}
    assert set(choose_places(view(eu=1, us=1), "us") or ()) == own
    late = {("eu", Tier.PAID): RegionWork(work_s=40.0)}
    chosen = choose_places(view(late, eu=1, us=1), "us") or {}
    assert set(chosen) == own | {(Tier.PAID, "eu")}
    assert "eu would serve it in 40 s" in chosen[Tier.PAID, "eu"]
    assert set(choose_places(view(late, eu=2, us=1), "us") or ()) == own, "two workers are in time"
    assert set(choose_places(view(late, eu=1, us=1), "eu") or ()) == {(lane, "eu") for lane in Tier}, "it goes on"


def test_a_region_without_a_healthy_worker_is_served_by_the_nearest_that_has_some() -> None:
    everything = {(lane, name) for lane in Tier for name in ("eu", "us")}
    assert set(choose_places(view(us=1), "us") or ()) == everything
    assert set(choose_places(view(us=1, asia=1), "asia") or ()) == {(lane, "asia") for lane in Tier}
    assert set(choose_places(view(asia=1), "asia") or ()) == {(lane, "eu") for lane in Tier} | {
        (lane, "asia") for lane in Tier
    }, "us spills to eu alone"


def test_regions_that_no_file_lists_spill_to_all_others() -> None:
    late = {("eu", Tier.PRO): RegionWork(oldest_s=6.0)}
    chosen = choose_places(view(late, fleet=None, eu=1, lab=1), "lab") or {}
    assert (Tier.PRO, "eu") in chosen
    assert (Tier.FREE, "us") not in chosen, "nobody is in us, and eu takes its jobs"


def test_regions_limit_nothing_where_only_one_is_in_use() -> None:
    assert choose_places(RegionsView(homes=frozenset()), "eu") is None
    assert choose_places(RegionsView(homes=frozenset({"eu"})), "eu") is None


LANE = st.sampled_from(Tier)
WORK = st.builds(RegionWork, work_s=st.floats(0, 1e5), oldest_s=st.floats(0, 1e4))
WAITING = st.dictionaries(LANE, WORK).map(lambda some: {lane: some.get(lane, RegionWork()) for lane in Tier})


@given(WAITING, LANE, st.integers(1, 50), st.floats(0, 1e4))
def test_more_work_never_means_a_shorter_wait_and_more_workers_never_a_longer_one(
    waiting: dict[Tier, RegionWork], lane: Tier, number: int, more_s: float
) -> None:
    wait_s = predict_wait_s(waiting, lane, number)
    more = {**waiting, lane: replace(waiting[lane], work_s=waiting[lane].work_s + more_s)}
    assert predict_wait_s(more, lane, number) >= wait_s * 0.9999
    assert predict_wait_s(waiting, lane, number + 1) <= wait_s
    assert wait_s >= waiting[lane].oldest_s


NUMBERS = st.lists(st.integers(0, 2), min_size=3, max_size=3)


@given(st.dictionaries(st.tuples(st.sampled_from(["eu", "us", "asia"]), LANE), WORK), NUMBERS)
def test_every_waiting_job_is_taken_by_its_own_region_or_by_one_other(
    waiting: dict[tuple[str, Tier], RegionWork], num_healthy: list[int]
) -> None:
    seen = view(waiting, **dict(zip(("eu", "us", "asia"), num_healthy, strict=True)))
    takes = {name: choose_places(seen, name) or {} for name in ("eu", "us", "asia")}
    for home in ("eu", "us"):
        for lane in Tier:
            others = [name for name in takes if name != home and (lane, home) in takes[name]]
            assert len(others) <= 1
            assert (lane, home) in takes[home]
            reachable = {"eu": ("eu", "us", "asia"), "us": ("us", "eu")}[home]
            living = [name for name in reachable if seen.num_healthy[name, lane] > 0]
            assert others or home in living or not living
