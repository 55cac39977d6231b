"""The regions as `mezzotint fleet status` shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mezzotint.main.options import print_table

if TYPE_CHECKING:
    from mezzotint.store import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionStatus:
    """A lane of a region of gateways. wait_s: predicted for a new job; None: nobody draws there. served_by: the region
    that takes such a job beside its own, or its own."""

    region: str
    lane: str
    num_healthy: int
    wait_s: float | None
    served_by: str
    reason: str


async def read_regions(database: "Database", now: datetime) -> list[RegionStatus]:
    """Empty where no gateway names a region."""
    from mezzotint.actions.region_routing import read_fleet
    from mezzotint.policy.fleet.regions import list_choices, read_region
    from mezzotint.store import FleetRows, Regions

    regions = Regions(database)
    homes = await regions.read_homes()
    if not homes:
        return []
    view = await regions.read(homes, await read_fleet(FleetRows(database)), now)
    return [
        RegionStatus(
            region=home,
            lane=lane,
            num_healthy=read_region(view, home, lane).num_healthy,
            wait_s=read_region(view, home, lane).wait_s.get(lane),
            served_by=choice.region,
            reason=choice.reason,
        )
        for (home, lane), choice in list_choices(view).items()
    ]


def print_regions(regions: Sequence[RegionStatus]) -> None:
    rows = [
        (
            one.region,
            one.lane,
            str(one.num_healthy),
            "-" if one.wait_s is None else f"{one.wait_s:.0f} s",
            one.served_by,
            one.reason,
        )
        for one in regions
    ]
    print_table(("region", "lane", "workers", "wait", "served by", "why"), rows)
