"""Assign a new job to a lane: its tier's own, or the free lane beyond the month's quota. It is never refused."""

from dataclasses import dataclass

from mezzotint.domain.tier import Tier, limits_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneAssignment:
    """The lane a job waits in; `is_over_quota` tells its owner why it is not the tier's own."""

    lane: Tier
    is_over_quota: bool = False


def assign_lane(tier: Tier, *, used_s: float, quota_s: float | None = None) -> LaneAssignment:
    """Choose the lane of a new job.

    used_s: GPU-seconds that the tenant used this month.
    quota_s: the tenant's own quota; None: its tier's.
    """
    quota = limits_of(tier).quota_s if quota_s is None else quota_s
    if quota is None or used_s < quota or tier is Tier.FREE:
        return LaneAssignment(lane=tier)
    return LaneAssignment(lane=Tier.FREE, is_over_quota=True)
