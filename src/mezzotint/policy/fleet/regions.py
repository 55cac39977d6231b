"""Choose the region that serves a job: the nearest with healthy workers, another where its wait passes the target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mezzotint.domain.fleet.pool import Fleet
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
    """Whether workers of a region take a lane's jobs of another now: the other side of `choose_region`."""
    return choose_region(fleet, home, lane, readings).region == region
