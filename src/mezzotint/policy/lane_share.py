"""Who is next: start-time fair queueing over the lanes (Goyal, Vin, Cheng 1996, section 2).

Each lane carries a finish tag. Its next job would start at `max(virtual time, finish tag)` and finish one
`cost / weight` later; the lane whose job would start first is served. A lane that was idle gets no credit: its start
is never before the virtual time. A backlogged lane gets at least `weight / sum of weights`, so Free keeps its floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mezzotint.domain.tier import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A backlogged lane: its weight, its finish tag so far and the cost of its first job (step-megapixels)."""

    lane: Tier
    weight: int
    finish_tag: float
    head_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The lane to serve; the tags to store once the job is taken. The start tag is the new virtual time."""

    lane: Tier
    start_tag: float
    finish_tag: float


def choose(flows: Sequence[Flow], virtual_time: float) -> Choice | None:
    """The lane whose first job goes next; None when nothing waits. Ties go to the heavier lane."""
    if not flows:
        return None
    flow = min(flows, key=lambda flow: (max(virtual_time, flow.finish_tag), -flow.weight))
    start_tag = max(virtual_time, flow.finish_tag)
    return Choice(lane=flow.lane, start_tag=start_tag, finish_tag=start_tag + flow.head_cost / flow.weight)
