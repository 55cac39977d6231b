"""Choose the next job by hierarchical start-time fair queueing (Goyal, Vin, Cheng 1996): lanes, expresses, tenants.

At both levels the competitor with the smallest start tag goes, except that a job which fits the worker, has waited
long, or belongs to a lane with a head start (Duda, Cheriton 1999) may go before it by a bounded slack. Virtual time is
the smallest start tag of those that wait, so none of them falls behind it, whatever slack others used. A competitor
that was idle starts at virtual time: idleness earns no credit. The bounds and their derivation stand in
docs/explanation/fair-queue.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.settle import usage_weight
from mezzotint.policy.fair_queue.state import (
    RULES,
    Account,
    BackloggedFlow,
    Candidate,
    Charge,
    ChosenJob,
    FairShareRules,
    Flow,
    LaneBacklog,
    Queue,
    Share,
)


@dataclass(frozen=True, slots=True)
class Pick:
    """The job that a share would run next. tag: its flow's start tag. time: the lane's virtual time afterwards."""

    flow: Flow
    job: Candidate
    tag: float
    time: float


@dataclass(frozen=True, slots=True)
class Bid:
    """A share that competes at the root with its pick."""

    account: Account
    tag: float
    weight: float
    pick: Pick


def choose_job(queue: Queue, now: datetime, rules: FairShareRules = RULES) -> ChosenJob | None:
    """The job to take, and the rows to store; None when nothing that may run waits. Same input, same choice."""
    bids = _make_bids(queue, now, rules)
    if not bids:
        return None
    first = min(bids, key=lambda bid: (bid.tag, -bid.weight))
    slack = rules.lane_slack * first.pick.job.cost / first.weight
    best = min(bids, key=lambda bid: (_rank(bid, slack, rules), bid.tag, -bid.weight))
    cost = best.pick.job.cost
    flow = _take_job(best, cost, queue, now, rules)
    reserved = _reserve_shares(queue, bids, now, rules)
    charge = Charge(
        share=best.account.share,
        cost=cost,
        to_share=cost / best.weight,
        to_flow=flow.start_tag - best.pick.tag,
    )
    return ChosenJob(
        job=best.pick.job.job,
        charge=charge,
        virtual_time=max(queue.virtual_time, min([first.tag, *(account.start_tag for account in reserved)])),
        shares=_list_changed(queue, bids, best, charge, reserved),
        flow=flow,
    )


def _rank(bid: Bid, slack: float, rules: FairShareRules) -> float:
    """The tag, less what the share may go before its turn: a little for affinity, and its lane's head start."""
    job, lane = bid.pick.job, bid.account.share
    head_start = rules.head_start[lane] if isinstance(lane, Tier) else 0.0
    return bid.tag - slack * job.affinity - head_start * job.cost / bid.weight


def _make_bids(queue: Queue, now: datetime, rules: FairShareRules) -> list[Bid]:
    weights: dict[Share, float] = {lane: weight for lane, weight in queue.weights.items()}
    picks: dict[Share, Pick] = {}
    for line in queue.lines:
        pick = _pick_next(line, _account(queue, line.lane).virtual_time, now, rules)
        if pick is not None:
            picks[line.lane] = pick
    for express, rule in rules.expresses.items():
        for line in queue.lines:
            if line.lane is rule.lane and (pick := _pick_overdue(line, queue, now - timedelta(seconds=rule.after_s))):
                picks[express] = pick
                weights[express] = rule.part * queue.weights[rule.donor]
                weights[rule.donor] -= weights[express]
    bids = []
    for share, pick in picks.items():
        account = _account(queue, share)
        tag = max(account.start_tag, queue.virtual_time) if account.is_idle else account.start_tag
        bids.append(Bid(account, tag, weights[share], pick))
    return bids


def _account(queue: Queue, share: Share) -> Account:
    return queue.shares.get(share) or Account(share=share)


def _pick_next(line: LaneBacklog, virtual_time: float, now: datetime, rules: FairShareRules) -> Pick | None:
    """The next job of a lane. Tenants at their burst limit go only when all that wait are."""
    field = [waiting for waiting in line.waiting if waiting.jobs]
    if not field:
        return None
    runners = _sort_by_tag([waiting for waiting in field if not waiting.flow.is_at_burst] or field, virtual_time)
    first_tag, first = runners[0]
    unit = first.jobs[0].cost / usage_weight(first.flow, now, rules)
    most = unit * (rules.affinity_slack + rules.age_slack)
    best = Pick(first.flow, first.jobs[0], first_tag, max(virtual_time, first_tag))
    best_rank, full_age_s = float("inf"), rules.full_age_s[line.lane]
    for tag, waiting in runners:
        if tag - most >= best_rank:
            break  # nor can any behind it
        waited_s = (now - waiting.jobs[0].created_at).total_seconds()
        age = 0.0 if waited_s <= 0.0 else waited_s / full_age_s if waited_s < full_age_s else 1.0
        job = waiting.jobs[0] if age >= 1.0 else _pick_of_tenant(waiting.jobs, rules)
        rank = tag - unit * (rules.affinity_slack * job.affinity + rules.age_slack * age)
        if rank < best_rank:
            best_rank, best = rank, Pick(waiting.flow, job, tag, best.time)
    return best


def _sort_by_tag(field: Sequence[BackloggedFlow], virtual_time: float) -> list[tuple[float, BackloggedFlow]]:
    """By start tag; of equals, who has waited longer."""
    keys = [(_tag(w.flow, virtual_time), w.flow.backlogged_at, w.flow.tenant, i) for i, w in enumerate(field)]
    return [(tag, field[i]) for tag, _, _, i in sorted(keys)]


def _tag(flow: Flow, virtual_time: float) -> float:
    """A tenant held back by its burst limit gets no credit for that time."""
    return max(flow.start_tag, virtual_time) if flow.is_at_burst else flow.start_tag


def _pick_of_tenant(jobs: Sequence[Candidate], rules: FairShareRules) -> Candidate:
    """The oldest job, or one little younger that fits the worker better."""
    best = oldest = jobs[0]
    for job in jobs:
        if job.affinity > best.affinity and (job.created_at - oldest.created_at).total_seconds() <= rules.overtake_s:
            best = job
    return best


def _pick_overdue(line: LaneBacklog, queue: Queue, before: datetime) -> Pick | None:
    """The oldest job of a lane that was created before the instant; tenants below their burst limit first."""
    heads = (*line.oldest, *line.waiting)
    old = [waiting for waiting in heads if waiting.jobs and waiting.jobs[0].created_at <= before]
    if not old:
        return None
    oldest = min(old, key=lambda waiting: (waiting.flow.is_at_burst, waiting.jobs[0].created_at, waiting.jobs[0].job))
    time = _account(queue, line.lane).virtual_time
    return Pick(oldest.flow, oldest.jobs[0], _tag(oldest.flow, time), time)


def _take_job(bid: Bid, cost: float, queue: Queue, now: datetime, rules: FairShareRules) -> Flow:
    """The flow without the job. An express never puts a flow further than one job past virtual time."""
    pick = bid.pick
    tag = pick.tag + cost / usage_weight(pick.flow, now, rules)
    if not isinstance(bid.account.share, Tier):
        tag = max(pick.tag, min(tag, tag - pick.tag + pick.time))
    num_running = pick.flow.num_running + 1
    return replace(
        pick.flow,
        start_tag=tag,
        num_queued=pick.flow.num_queued - 1,
        num_running=num_running,
        is_at_burst=num_running >= rules.burst[pick.flow.lane],
    )


def _reserve_shares(queue: Queue, bids: Sequence[Bid], now: datetime, rules: FairShareRules) -> list[Account]:
    """The shares whose waiting jobs are all for other workers, as they stand now: in their place, and not idle."""
    shares: list[Share] = [line.lane for line in queue.lines if line.since is not None]
    shares += [
        express
        for express, rule in rules.expresses.items()
        for line in queue.lines
        if line.lane is rule.lane and line.since is not None and line.since <= now - timedelta(seconds=rule.after_s)
    ]
    bidding = {bid.account.share for bid in bids}
    accounts = [_account(queue, share) for share in shares if share not in bidding]
    return [
        replace(one, start_tag=max(one.start_tag, queue.virtual_time), is_idle=False) if one.is_idle else one
        for one in accounts
    ]


def _list_changed(
    queue: Queue, bids: Sequence[Bid], best: Bid, charge: Charge, reserved: Sequence[Account]
) -> list[Account]:
    """The accounts whose rows differ now: the one that was served, and those that fell idle or came back."""
    active = {bid.account.share for bid in bids} | {account.share for account in reserved}
    changed = [replace(a, is_idle=True) for share, a in queue.shares.items() if share not in active and not a.is_idle]
    changed += [account for account in reserved if _account(queue, account.share).is_idle]
    changed += [replace(b.account, start_tag=b.tag, is_idle=False) for b in bids if b.account.is_idle and b is not best]
    time = best.pick.time if isinstance(charge.share, Tier) else best.account.virtual_time
    served = replace(best.account, start_tag=best.tag + charge.to_share, virtual_time=time, is_idle=False)
    return [*changed, served]
