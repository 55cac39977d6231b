"""The outcome of a simulation: waits and shares of the machine, by lane."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import Share
from mezzotint.sim.simulation import JobRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Waits of the jobs of a lane, in seconds."""

    num_jobs: int
    p50_s: float
    p95_s: float
    max_s: float


def measure_waits(
    records: Iterable[JobRecord], lane: Tier, from_s: float = 0.0, until_s: float = float("inf")
) -> Waits:
    """Waits of the jobs that arrived in the window; zeros when there are none."""
    found = sorted(record.wait_s for record in records if record.lane is lane and from_s <= record.arrived_s < until_s)
    if not found:
        return Waits(num_jobs=0, p50_s=0.0, p95_s=0.0, max_s=0.0)
    return Waits(num_jobs=len(found), p50_s=_quantile(found, 0.5), p95_s=_quantile(found, 0.95), max_s=found[-1])


def measure_service(records: Iterable[JobRecord], from_s: float, until_s: float) -> dict[Share, float]:
    """Step-megapixels done in the window for each share, every job's spread evenly over its run."""
    done: dict[Share, float] = {}
    for record in records:
        overlap_s = min(record.ended_s, until_s) - max(record.started_s, from_s)
        if overlap_s > 0.0:
            part = record.cost * overlap_s / (record.ended_s - record.started_s)
            done[record.share] = done.get(record.share, 0.0) + part
    return done


def _quantile(found: Sequence[float], quantile: float) -> float:
    return found[min(len(found) - 1, int(quantile * len(found)))]
