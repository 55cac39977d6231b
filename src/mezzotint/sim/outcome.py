"""What a simulation showed: waits and shares of the machine, by lane."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mezzotint.domain.tier import Tier
from mezzotint.policy.queue import Share
from mezzotint.sim.simulation import Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Of the jobs of a lane, seconds."""

    num_jobs: int
    p50_s: float
    p95_s: float
    max_s: float


def waits(stories: Iterable[Story], lane: Tier, from_s: float = 0.0, until_s: float = float("inf")) -> Waits:
    """Of the jobs that arrived in the window; zeros when there are none."""
    found = sorted(story.wait_s for story in stories if story.lane is lane and from_s <= story.arrived_s < until_s)
    if not found:
        return Waits(num_jobs=0, p50_s=0.0, p95_s=0.0, max_s=0.0)
    return Waits(num_jobs=len(found), p50_s=_at(found, 0.5), p95_s=_at(found, 0.95), max_s=found[-1])


def service(stories: Iterable[Story], from_s: float, until_s: float) -> dict[Share, float]:
    """Step-megapixels done in the window for each share, every job's spread evenly over its run."""
    done: dict[Share, float] = {}
    for story in stories:
        overlap_s = min(story.ended_s, until_s) - max(story.started_s, from_s)
        if overlap_s > 0.0:
            part = story.cost * overlap_s / (story.ended_s - story.started_s)
            done[story.share] = done.get(story.share, 0.0) + part
    return done


def _at(found: Sequence[float], quantile: float) -> float:
    return found[min(len(found) - 1, int(quantile * len(found)))]
