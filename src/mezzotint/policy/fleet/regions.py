"""Choose the region that serves a job: the nearest with healthy workers, another where its wait passes the target."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mezzotint.domain.fleet.pool import Fleet, Region
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.fleet.load_plan import reachable_regions


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionReading:
    """A region as the others see it. num_healthy: its ready workers that may claim such jobs and are not quarantined; 0
    where it is cut off. wait_s: the predicted wait of a new job, by lane; a lane that is left out: not known, since
    nothing ended there lately."""

    num_healthy: int = 0
    wait_s: Mapping[Tier, float] = field(default_factory=dict)


class RegionCause(StrEnum):
    HOME = "home"
    """Its own region serves it in time, or no other does better."""
    AWAY = "away"
    """Its own region has no healthy worker."""
    SPILL_OVER = "spill_over"
    """Its own region is late, and another is in time."""
    NOWHERE = "nowhere"
    """No region has a healthy worker: it waits at home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionChoice:
    """reason: for people."""

    region: str
    cause: RegionCause
    reason: str


def choose_region(fleet: Fleet, home: str, lane: Tier, readings: Mapping[str, RegionReading]) -> RegionChoice:
    """The region for a new job of the lane. home: where it was submitted. readings: by region; one that is left out is
    cut off."""
    order = [name for name in reachable_regions(fleet, home) if readings.get(name, RegionReading()).num_healthy > 0]
    if not order:
        return RegionChoice(region=home, cause=RegionCause.NOWHERE, reason="no region has a healthy worker")
    waits = {name: readings[name].wait_s.get(lane, 0.0) for name in order}
    target_s = limits_of(lane).target_wait_s
    in_time = next((name for name in order if waits[name] <= target_s), None)
    chosen = in_time or min(order, key=lambda name: (waits[name], order.index(name)))
    if chosen == home:
        return RegionChoice(region=home, cause=RegionCause.HOME, reason=f"{home} serves it in {waits[home]:.0f} s")
    if home not in waits:
        reason = f"{home} has no healthy worker, {chosen} is the nearest that has"
        return RegionChoice(region=chosen, cause=RegionCause.AWAY, reason=reason)
    reason = (
        f"{home} would serve it in {waits[home]:.0f} s, {chosen} in {waits[chosen]:.0f}; the target is {target_s:.0f}"
    )
    if in_time is None and waits[chosen] > waits[home] / 2:
        return RegionChoice(region=home, cause=RegionCause.HOME, reason=f"{home} is late, and no region is much sooner")
    return RegionChoice(region=chosen, cause=RegionCause.SPILL_OVER, reason=reason)


def serves_region(fleet: Fleet, region: str, home: str, lane: Tier, readings: Mapping[str, RegionReading]) -> bool:
    """Say whether workers of a region take a lane's jobs of another now: the other side of `choose_region`."""
    return choose_region(fleet, home, lane, readings).region == region


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionWork:
    """The jobs of one lane that wait in a region. work_s: GPU-seconds. oldest_s: how long the first has waited."""

    work_s: float = 0.0
    oldest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionsView:
    """All regions, as the database knows them. fleet: that is up; None: none is. homes: the regions of gateways.
    num_healthy: workers that were heard of lately, take jobs and rest not, by region and lane. waiting: by both."""

    homes: frozenset[str]
    fleet: Fleet | None = None
    num_healthy: Mapping[tuple[str, Tier], int] = field(default_factory=dict)
    waiting: Mapping[tuple[str, Tier], RegionWork] = field(default_factory=dict)


def choose_places(view: RegionsView, region: str) -> dict[tuple[Tier, str], str] | None:
    """The lanes and regions whose jobs a region's workers may claim now, each with the reason, for people. Their own
    are always among them. None: those of all, as no gateway names another region."""
    if not view.homes - {region}:
        return None
    choices = list_choices(replace(view, homes=view.homes - {region}))
    away = {(lane, home): choice.reason for (home, lane), choice in choices.items() if choice.region == region}
    return {(lane, region): "their own" for lane in Tier} | away


def list_choices(view: RegionsView) -> dict[tuple[str, Tier], RegionChoice]:
    """The region that serves the new jobs of each region of gateways, by lane, for people."""
    places = (*view.num_healthy, *view.waiting)
    fleet = add_regions(view.fleet, {*view.homes, *(name for name, _ in places)})
    return {
        (home, lane): choose_region(
            fleet, home, lane, {one.name: read_region(view, one.name, lane) for one in fleet.regions}
        )
        for home in sorted(view.homes)
        for lane in Tier
    }


def add_regions(fleet: Fleet | None, names: Set[str]) -> Fleet:
    """The fleet with regions that its file does not have, too: each spills to all others."""
    listed = () if fleet is None else fleet.regions
    known = {one.name for one in listed}
    everywhere = sorted(known | names)
    added = [
        Region(name=name, spills_to=tuple(other for other in everywhere if other != name))
        for name in everywhere
        if name not in known
    ]
    return Fleet(pools=(), regions=(*listed, *added))


def read_region(view: RegionsView, region: str, lane: Tier) -> RegionReading:
    """The region's healthy workers and its predicted wait, of one lane."""
    num_healthy = view.num_healthy.get((region, lane), 0)
    waiting = {one: view.waiting.get((region, one), RegionWork()) for one in Tier}
    wait_s = {lane: predict_wait_s(waiting, lane, num_healthy)} if num_healthy else {}
    return RegionReading(num_healthy=num_healthy, wait_s=wait_s)


def predict_wait_s(waiting: Mapping[Tier, RegionWork], lane: Tier, num_healthy: int) -> float:
    """The wait of a job that joins a lane now: the lane's work by its share of the workers, as fair share gives it; no
    more than all work takes, and no less than the wait of the job that is first.

    num_healthy: workers, above 0.
    """
    weights = {one: limits_of(one).weight for one, work in waiting.items() if work.work_s > 0.0 or one is lane}
    share = weights[lane] / sum(weights.values())
    by_share_s = waiting[lane].work_s / (num_healthy * share)
    all_s = sum(work.work_s for work in waiting.values()) / num_healthy
    return max(min(by_share_s, all_s), waiting[lane].oldest_s)
