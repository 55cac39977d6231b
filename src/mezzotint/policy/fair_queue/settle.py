"""Compute every change of the fair queue's rows other than a claim: a job is added, removed, requeued, or ends."""

from dataclasses import dataclass, replace
from datetime import datetime

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import RULES, Account, Charge, FairShareRules, Flow

PACE_GAIN = 0.05
"""Weight of the newest job in the running mean: about the last 20 jobs count."""
MAX_PACE_STEP = 2.0
"""Limit of one job's effect: it counts as at most this many times slower or faster than the mean."""


def add_waiting_job(flow: Flow | None, *, lane: Tier, tenant: TenantId, lane_time: float, now: datetime) -> Flow:
    """The flow after a job began to wait: submitted, back in the queue, or due for its next try.

    flow: its row, None for a new one. lane_time: virtual time of the lane, a moment old at most.
    A tenant who had nothing waiting starts at the lane's virtual time: no credit for idle time.
    """
    if flow is None:
        flow = Flow(lane=lane, tenant=tenant, backlogged_at=now, usage_at=now)
    if flow.num_queued > 0:
        return replace(flow, num_queued=flow.num_queued + 1)
    return replace(flow, num_queued=1, backlogged_at=now, start_tag=max(flow.start_tag, lane_time))


def remove_waiting_job(flow: Flow) -> Flow:
    """The flow after a waiting job stopped waiting without being taken: cancelled, expired, or put off."""
    return replace(flow, num_queued=max(0, flow.num_queued - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredWork:
    """The work of a job that ended or goes back to the queue.

    cost: the work that was done, in step-megapixels (`measured_cost`); 0 where the work was lost.
    gpu_s: measured GPU-seconds; they count as the tenant's usage.
    """

    cost: float
    gpu_s: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRows:
    """The rows after a running job ended. share: the account that was charged."""

    flow: Flow
    share: Account


def settle_job(
    flow: Flow, share: Account, charge: Charge, done: MeasuredWork, *, lane_time: float, rules: FairShareRules = RULES
) -> SettledRows:
    """Put the measured cost in place of the predicted one. A job that goes back to the queue then arrives again.

    share: the account of `charge.share`. lane_time: virtual time of the flow's lane.
    """
    factor = min(max(done.cost, 0.0) / charge.cost, rules.max_correction) - 1.0
    num_running = max(0, flow.num_running - 1)
    is_at_burst = num_running >= rules.burst[flow.lane]
    tag = flow.start_tag + factor * charge.to_flow
    if flow.is_at_burst and not is_at_burst:
        tag = max(tag, lane_time)
    settled = replace(
        flow,
        start_tag=tag,
        num_running=num_running,
        is_at_burst=is_at_burst,
        usage_s=usage_at(flow, done.at, rules) + done.gpu_s,
        usage_at=max(done.at, flow.usage_at),
    )
    return SettledRows(flow=settled, share=replace(share, start_tag=share.start_tag + factor * charge.to_share))


def usage_at(flow: Flow, now: datetime, rules: FairShareRules = RULES) -> float:
    """GPU-seconds of the last hours; what lies a half-life back counts half."""
    age_s = max(0.0, (now - flow.usage_at).total_seconds())
    return float(flow.usage_s * 0.5 ** (age_s / rules.usage_half_life_s))


def usage_weight(flow: Flow, now: datetime, rules: FairShareRules = RULES) -> float:
    """A tenant's weight in its lane: 1 for one who used nothing lately, falling to `min_usage_weight`."""
    if flow.usage_s <= 0.0:
        return 1.0
    return max(rules.min_usage_weight, 1.0 / (1.0 + usage_at(flow, now, rules) / rules.usage_scale_s))


def measured_cost(cost: float, gpu_s: float, pace_s: float | None) -> float:
    """Step-megapixels that a job turned out to be worth: its GPU-seconds at the usual pace.

    pace_s: GPU-seconds a step-megapixel, over all models; None before any was measured: the prediction stands.
    """
    return cost if pace_s is None or gpu_s <= 0.0 else gpu_s / pace_s


def next_pace(pace_s: float | None, cost: float, gpu_s: float) -> float | None:
    """The running mean of GPU-seconds a step-megapixel after one more job; unchanged by one that measured nothing."""
    if cost <= 0.0 or gpu_s <= 0.0:
        return pace_s
    if pace_s is None:
        return gpu_s / cost
    newest = min(max(gpu_s / cost, pace_s / MAX_PACE_STEP), pace_s * MAX_PACE_STEP)
    return pace_s + PACE_GAIN * (newest - pace_s)
