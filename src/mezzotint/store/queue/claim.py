"""Taking the next jobs: a bounded set of candidates by index, the policy's choice, one conditional change.

Claims stand in line at the rows of the shares. What others may change meanwhile (a cancel, an arrival) is found when
the chosen rows are written: the transaction is given up, and the claim looks again. Several jobs are taken in one
transaction where the caller has room for several.

On PostgreSQL a claim does not wait for the disk, so the next in line need not either. A claim that is lost with the
server is a job that waits again; its worker is fenced off by its name, should another hold the same token by then.
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Float, Integer, RowMapping, case, func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.job import JobState
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.state import RULES, BackloggedFlow, Charge, ChosenJob, Express, LaneBacklog, Queue
from mezzotint.store.bulk_write import Insert, Row, Statement, Values, execute
from mezzotint.store.events.changes import LOG_CHANGE
from mezzotint.store.queue.candidates import SearchBounds, WorkerOffer, find_candidates, flow_order
from mezzotint.store.queue.flows import KEY, ROOT, UPDATE_SHARES, accounts_of, lock_shares, share_rows, weights_of
from mezzotint.store.rows import fields_of
from mezzotint.store.schema import flows, jobs

NUM_FLOWS = 6
"""Flows a lane beyond those that a batch could use up: what affinity may choose from."""
NUM_JOBS = 2
"""Jobs a flow, the same way."""
NUM_OLDEST = 4
"""Oldest jobs of a lane, the same way: what an express serves."""
MAX_LOOKS = 5
"""Races lost in a row after which the claim gives up until it is called again."""


class ClaimConflict(Exception):
    """A chosen job was cancelled or taken meanwhile: nothing of the transaction may stay."""


async def take_jobs(
    connection: AsyncConnection, offer: WorkerOffer, now: datetime, lease_s: float, most: int
) -> list[RowMapping]:
    """Rows of the jobs that now run under the offer's lease. Raises: ClaimConflict."""
    rows = await lock_shares(connection, asynchronous=True)
    queue = await _read_queue(connection, rows, offer, now, most)
    choices = _choices(queue, now, most)
    if not choices:
        return []
    until = now + timedelta(seconds=lease_s)
    leases = [
        {"id": choice.job, "worker": offer.worker, "at": now, "until": until, "charge": _charge_document(choice.charge)}
        for choice in choices
    ]
    changed = {account.share: account for choice in choices for account in choice.shares}
    writes: dict[Statement, Sequence[Values]] = {
        LEASE_JOBS: leases,
        UPDATE_SHARES: share_rows(changed.values(), choices[-1].virtual_time),
        MOVE_FLOWS: _flow_moves(queue, choices),
        LOG_CHANGE: [{"job": choice.job, "state": JobState.RUNNING, "at": now} for choice in choices],
    }
    try:
        found = {row["id"]: row for row in await execute(connection, writes)}
    except IntegrityError as error:  # on PostgreSQL: the statement does not see the newest change of a job
        raise ClaimConflict from error
    if len(found) < len(choices):
        raise ClaimConflict
    return [found[choice.job] for choice in choices]


def _choices(queue: Queue, now: datetime, most: int) -> list[ChosenJob]:
    """Choose jobs one by one, each from about as many candidates as a claim of one job sees."""
    choices: list[ChosenJob] = []
    while len(choices) < most and (choice := choose_job(_limit_queue(queue), now)) is not None:
        choices.append(choice)
        queue = _queue_after(queue, choice)
    return choices


def _limit_queue(queue: Queue) -> Queue:
    lines = [_limit_line(line) for line in queue.lines]
    return Queue(virtual_time=queue.virtual_time, lines=lines, shares=queue.shares, weights=queue.weights)


def _limit_line(line: LaneBacklog) -> LaneBacklog:
    waiting, oldest = line.waiting[: NUM_FLOWS + 1], line.oldest[: NUM_OLDEST + 1]
    return LaneBacklog(lane=line.lane, waiting=waiting, oldest=oldest, since=line.since)


def _queue_after(queue: Queue, choice: ChosenJob) -> Queue:
    """The queue without the job that was taken."""
    shares = {**queue.shares, **{account.share: account for account in choice.shares}}
    lines = [_line_after(line, choice) if line.lane is choice.flow.lane else line for line in queue.lines]
    return Queue(virtual_time=choice.virtual_time, lines=lines, shares=shares, weights=queue.weights)


def _line_after(line: LaneBacklog, choice: ChosenJob) -> LaneBacklog:
    waiting, oldest = _remove_job(line.waiting, choice, flow_order), _remove_job(line.oldest, choice, oldest_first)
    since = line.since
    if since is not None and not waiting and not oldest:
        before = [job.created_at for one in _flows_of(line) for job in one.jobs]
        since = None if since >= min(before) else since  # none waited longer than what was taken
    return LaneBacklog(lane=line.lane, waiting=waiting, oldest=oldest, since=since)


def _remove_job(
    flows: Sequence[BackloggedFlow], choice: ChosenJob, order: Callable[[BackloggedFlow], Any]
) -> list[BackloggedFlow]:
    """The flows that still have jobs after one is taken, in their order."""
    rest = [one for one in flows if one.flow.tenant != choice.flow.tenant]
    for one in flows:
        if one.flow.tenant == choice.flow.tenant and (jobs := [job for job in one.jobs if job.job != choice.job]):
            insort(rest, BackloggedFlow(flow=choice.flow, jobs=jobs), key=order)
    return rest


def oldest_first(waiting: BackloggedFlow) -> datetime:
    return waiting.jobs[0].created_at


def _flows_of(line: LaneBacklog) -> Sequence[BackloggedFlow]:
    return [*line.waiting, *line.oldest]


def _lease(row: Row, insert: Insert) -> Any:
    begun_at = case((jobs.c.created_at > row["at"], jobs.c.created_at), else_=row["at"])  # the clock may be set back
    values = {
        "state": JobState.RUNNING,
        "waits_in": None,
        "attempts": jobs.c.attempts + 1,
        "started_at": func.coalesce(jobs.c.started_at, begun_at),
        "lease_worker": row["worker"],
        "lease_token": jobs.c.lease_token + 1,
        "lease_expires_at": row["until"],
        "charge": row["charge"],
    }
    return update(jobs).where(jobs.c.id == row["id"], jobs.c.waits_in.is_not(None)).values(values)


INSTANT = jobs.c.started_at.type
LEASE_JOBS = Statement(
    name="lease",
    values={
        "id": jobs.c.id.type,
        "worker": jobs.c.lease_worker.type,
        "at": INSTANT,
        "until": INSTANT,
        "charge": jobs.c.charge.type,
    },
    make=_lease,
    keys=[jobs.c.id],
    returns=list(jobs.c),
)


def _charge_document(charge: Charge) -> dict[str, Any]:
    return {**fields_of(charge), "share": charge.share.value}


def _move(row: Row, insert: Insert) -> Any:
    """By differences, since jobs may arrive and end meanwhile."""
    num_running = flows.c.num_running + row["taken"]
    values = {
        "start_tag": flows.c.start_tag + row["moved"],
        "num_queued": flows.c.num_queued - row["taken"],
        "num_running": num_running,
        "waits_in": case((flows.c.num_queued > row["taken"], flows.c.lane), else_=None),
        "is_at_burst": num_running >= row["burst"],
    }
    return update(flows).where(flows.c.lane == row["lane"], flows.c.tenant == row["tenant"]).values(values)


MOVE_FLOWS = Statement(
    name="move",
    values={**KEY, "moved": Float(), "taken": Integer(), "burst": Integer()},
    make=_move,
    keys=[flows.c.lane, flows.c.tenant],
)


def _flow_moves(before: Queue, choices: Sequence[ChosenJob]) -> list[Values]:
    tags = {(one.flow.lane, one.flow.tenant): one.flow.start_tag for line in before.lines for one in _flows_of(line)}
    taken = Counter((choice.flow.lane, choice.flow.tenant) for choice in choices)
    last = {(choice.flow.lane, choice.flow.tenant): choice.flow for choice in choices}
    return [
        {"lane": lane, "tenant": tenant, "moved": flow.start_tag - tags[lane, tenant]}
        | {"taken": taken[lane, tenant], "burst": RULES.burst[lane]}
        for (lane, tenant), flow in sorted(last.items())
    ]


async def _read_queue(
    connection: AsyncConnection, rows: Mapping[str, RowMapping], offer: WorkerOffer, now: datetime, most: int
) -> Queue:
    num_flows = NUM_FLOWS + most
    while True:
        reach = SearchBounds(num_flows=num_flows, num_jobs=NUM_JOBS + most, num_oldest=NUM_OLDEST + most)
        found = await find_candidates(connection, offer, now, reach)
        if any(lane.waiting for lane in found.values()) or all(lane.num_seen < num_flows for lane in found.values()):
            break
        num_flows *= 8  # the first flows have nothing for this worker: look further
    return Queue(
        virtual_time=rows[ROOT]["virtual_time"],
        lines=[lane.line() for lane in found.values() if lane.since is not None],
        shares=accounts_of(rows),
        weights=weights_of(rows),
    )


def charge_of(document: dict[str, Any] | None) -> Charge | None:
    """The charge of a running job, as its row keeps it."""
    if document is None:
        return None
    name = document["share"]
    share = Tier(name) if name in set(Tier) else Express(name)
    return Charge(**{**document, "share": share})
