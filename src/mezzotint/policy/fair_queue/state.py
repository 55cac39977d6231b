"""The queue as fair share reads it and writes it back: plain rows, a bounded number of them for each decision.

Two levels. At the root, *shares* of the machine compete: the three lanes, and three expresses, which serve the oldest
jobs of a lane with a bounded part of a lane's weight. Inside a lane, *flows* compete: one for each tenant. Whoever
competes carries a start tag, in normalised cost (step-megapixels over weight); the smallest goes next, and going moves
it on by cost over weight. `policy/fair_queue/choose.py` chooses, `policy/fair_queue/settle.py` does all other changes.

What a store keeps, and the index that finds it:

- one row for the root: `virtual_time`, and the lanes' weights;
- one row for each Share: the fields of Account (six rows);
- one row for each (lane, tenant): the fields of Flow. Index (lane, is_at_burst, start_tag, backlogged_at) over rows
  with num_queued > 0: its first few are `LaneBacklog.waiting`. A job that must wait for its next try is not counted in
  num_queued: it arrives when that time has come;
- jobs: their lane, the cost that remains, and the Charge while they run. Index (state, lane, tenant, seq) gives
  `BackloggedFlow.jobs`, index (state, lane, seq) gives `LaneBacklog.oldest`.

A decision is right for every set of candidates that holds, for each lane, the flow that comes first by that index, and
the oldest jobs of the lane. More candidates only give affinity more to choose from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.tier import Tier, limits_of


class Express(StrEnum):
    """A bounded part of a lane's weight for jobs that waited too long, oldest first."""

    PROMOTED = "promoted"
    """Free jobs, with a part of Paid's weight."""
    OVERDUE_PAID = "overdue_paid"
    OVERDUE_PRO = "overdue_pro"


Share = Tier | Express
"""A competitor at the root. The values are distinct strings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressRule:
    """An express serves jobs of `lane` that waited `after_s`, with `part` of the weight of `donor`."""

    lane: Tier
    donor: Tier
    part: float
    after_s: float


def _list_expresses() -> Mapping[Express, ExpressRule]:
    places = (
        (Express.PROMOTED, Tier.FREE, Tier.PAID, 0.2),
        (Express.OVERDUE_PAID, Tier.PAID, Tier.PAID, 0.25),
        (Express.OVERDUE_PRO, Tier.PRO, Tier.PRO, 0.25),
    )
    return {
        express: ExpressRule(lane=lane, donor=donor, part=part, after_s=limits_of(lane).max_wait_s)
        for express, lane, donor, part in places
    }


def base_weights() -> Mapping[Tier, float]:
    """The lanes' weights before traffic moves them."""
    return {tier: float(limits_of(tier).weight) for tier in Tier}


@dataclass(frozen=True, slots=True, kw_only=True)
class FairShareRules:
    """The numbers of fair share; the simulator tries others.

    burst: jobs of one tenant that run at once before others of its lane go first.
    affinity_slack, age_slack: how far a flow may go before the first of its lane, for a job that fits the worker and
    for one that has waited `full_age_s`; in jobs of the size of the one passed over.
    lane_slack: the same between lanes, for a job that fits the worker.
    head_start: how many of its own jobs a lane may always be ahead, so that short bursts do not wait for slow lanes.
    overtake_s: a job may go before older ones of its own tenant that are older by at most this.
    usage_scale_s: GPU-seconds of the last hours that halve a tenant's weight; never below `min_usage_weight` of it.
    max_correction: a measured cost counts as at most this many times the predicted one.
    """

    expresses: Mapping[Express, ExpressRule] = field(default_factory=_list_expresses)
    burst: Mapping[Tier, int] = field(default_factory=lambda: {tier: limits_of(tier).burst for tier in Tier})
    full_age_s: Mapping[Tier, float] = field(
        default_factory=lambda: {tier: limits_of(tier).target_wait_s for tier in Tier}
    )
    affinity_slack: float = 2.0
    age_slack: float = 1.0
    lane_slack: float = 1.0
    head_start: Mapping[Tier, float] = field(default_factory=lambda: {Tier.FREE: 0.0, Tier.PAID: 4.0, Tier.PRO: 8.0})
    overtake_s: float = 10.0
    usage_half_life_s: float = 7200.0
    usage_scale_s: float = 600.0
    min_usage_weight: float = 0.25
    max_correction: float = 4.0


RULES = FairShareRules()
"""The rules that production uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A share of the machine.

    start_tag: where its next job starts, in root time.
    virtual_time: of the flows in it; 0 for an express, which has none.
    is_idle: nothing of it waited at the last decision.
    """

    share: Share
    start_tag: float = 0.0
    virtual_time: float = 0.0
    is_idle: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A tenant in a lane.

    start_tag: where its next job starts, in the lane's time.
    num_queued: jobs that may run now. num_running: jobs under a lease; `is_at_burst` when they reach the burst limit.
    backlogged_at: since when num_queued is above 0; settles ties.
    usage_s: measured GPU-seconds as they stood at `usage_at`, decaying since; of all lanes, if kept once for a tenant.
    """

    lane: Tier
    tenant: TenantId
    backlogged_at: datetime
    usage_at: datetime
    usage_s: float = 0.0
    start_tag: float = 0.0
    num_queued: int = 0
    num_running: int = 0
    is_at_burst: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A waiting job that this worker may take now.

    cost: what remains of it, in step-megapixels, above 0.
    affinity: 0..1, how well it fits what the worker does now, see `rate_affinity`.
    """

    job: JobId
    cost: float
    created_at: datetime
    affinity: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackloggedFlow:
    """A flow and its oldest waiting jobs, oldest first: one, or a few for affinity to choose from."""

    flow: Flow
    jobs: Sequence[Candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneBacklog:
    """The candidates of a lane. waiting: its first flows by the index. oldest: the flows of its oldest jobs, and those
    jobs; only needed where an express serves the lane's old jobs.

    since: when the oldest job that waits in the lane was made, whoever may take it; needed where workers do not take
    every job. A share whose jobs are only for others keeps its place: it is not idle.
    """

    lane: Tier
    waiting: Sequence[BackloggedFlow]
    oldest: Sequence[BackloggedFlow] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """All that a decision sees. A share without a row is a new one."""

    virtual_time: float
    lines: Sequence[LaneBacklog]
    shares: Mapping[Share, Account] = field(default_factory=dict)
    weights: Mapping[Tier, float] = field(default_factory=base_weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The charge of a job when it was taken, kept with it until it ends. cost: step-megapixels.

    to_share, to_flow: how far it moved the tags of its share and of its flow.
    """

    share: Share
    cost: float
    to_share: float
    to_flow: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenJob:
    """The job to take, and what to store with its lease.

    virtual_time: of the root. shares: the accounts that changed. flow: the tenant's, with the job taken off its queue.
    """

    job: JobId
    charge: Charge
    virtual_time: float
    shares: Sequence[Account]
    flow: Flow


def rate_affinity(*, is_warm: bool, joins_batch: bool, is_light: bool = False, is_near: bool = False) -> float:
    """Rate how well a job fits a worker: its model is loaded; better, it would share passes with what runs there. Of
    jobs alike in that, a light one fits better than a heavy one, and one of the worker's region than another's."""
    return 1.0 if joins_batch else (0.5 if is_warm else 0.0) + (0.25 if is_light else 0.0) + (0.25 if is_near else 0.0)
