"""Forecast how long a queued job will wait, from the rate at which jobs end now."""

from collections.abc import Collection

from mezzotint.domain.tier import Tier, limits_of


def forecast_wait_s(position: int, lane: Tier, waiting: Collection[Tier], ended_per_s: float) -> float | None:
    """Seconds until the jobs ahead in the lane have ended, at the share the lane has while `waiting` lanes wait.

    None while nothing ends: then nothing can be said.
    """
    if ended_per_s <= 0:
        return None
    weights = {tier: limits_of(tier).weight for tier in {*waiting, lane}}
    return (position + 1) / (ended_per_s * weights[lane] / sum(weights.values()))
