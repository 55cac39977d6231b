"""Which region serves a job: the nearest that can in time."""

import pytest

from mezzotint.domain.fleet.pool import Fleet, Pool, Region
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.regions import RegionCause, RegionReading, choose_region, serves_region

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
