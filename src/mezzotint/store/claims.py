"""Taking the next jobs: a bounded set of candidates by index, the policy's choice, one conditional change.

Claims stand in line at the rows of the shares. What others may change meanwhile (a cancel, an arrival) is found when
the chosen rows are written: the transaction is given up, and the claim looks again. Several jobs are taken in one
transaction where the caller has room for several.

On PostgreSQL a claim does not wait for the disk, so the next in line need not either. A claim that is lost with the
server is a job that waits again; its worker is fenced off by its name, should another hold the same token by then.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Float, Integer, RowMapping, bindparam, case, func, literal, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_share import choose
from mezzotint.policy.queue import RULES, Charge, Choice, Express, Flow, Line, Queue, Waiting
from mezzotint.store.candidates import Reach, Seeker, look
from mezzotint.store.flows import ROOT, accounts_of, locked_shares, put_shares, weights_of
from mezzotint.store.schema import flows, jobs

NUM_FLOWS = 6
"""Flows a lane beyond those that a batch could use up: what affinity may choose from."""
NUM_JOBS = 2
"""Jobs a flow, the same way."""
NUM_OLDEST = 4
"""Oldest jobs of a lane, the same way: what an express serves."""
MAX_LOOKS = 5
"""Races lost in a row after which the claim gives up until it is called again."""


class Outrun(Exception):
    """A chosen job was cancelled or taken meanwhile: nothing of the transaction may stay."""


async def take(
    connection: AsyncConnection, seeker: Seeker, now: datetime, lease_s: float, most: int
) -> list[RowMapping]:
    """Rows of the jobs that now run under the seeker's lease. Raises: Outrun."""
    rows = await locked_shares(connection, lazily=True)
    queue = await _queue(connection, rows, seeker, now, most)
    choices = _choices(queue, now, most)
    if not choices:
        return []
    query = _leased(choices, seeker.worker, now, lease_s).returning(jobs)
    found = {row["id"]: row for row in (await connection.execute(query)).mappings()}
    if len(found) < len(choices):
        raise Outrun
    changed = {account.share: account for choice in choices for account in choice.shares}
    await put_shares(connection, list(changed.values()), choices[-1].virtual_time)
    before = {(waiting.flow.lane, waiting.flow.tenant): waiting.flow for line in queue.lines for waiting in _all(line)}
    await _move_flows(connection, before, choices)
    return [found[choice.job] for choice in choices]


def _choices(queue: Queue, now: datetime, most: int) -> list[Choice]:
    choices: list[Choice] = []
    while len(choices) < most and (choice := choose(queue, now)) is not None:
        choices.append(choice)
        queue = _after(queue, choice)
    return choices


def _after(queue: Queue, choice: Choice) -> Queue:
    """The queue without the job that was taken."""
    changed = {account.share: account for account in choice.shares}
    lines = [_line_after(line, choice) for line in queue.lines]
    return replace(queue, virtual_time=choice.virtual_time, lines=lines, shares={**queue.shares, **changed})


def _line_after(line: Line, choice: Choice) -> Line:
    waiting = [_without(one, choice) for one in line.waiting]
    oldest = [_without(one, choice) for one in line.oldest]
    before = [job.created_at for one in _all(line) for job in one.jobs]
    is_empty = not any(one.jobs for one in (*waiting, *oldest))
    if is_empty and before and line.since is not None and line.since >= min(before):
        return replace(line, waiting=waiting, oldest=oldest, since=None)  # none waited longer than what was taken
    return replace(line, waiting=waiting, oldest=oldest)


def _without(waiting: Waiting, choice: Choice) -> Waiting:
    flow = waiting.flow
    if (flow.lane, flow.tenant) != (choice.flow.lane, choice.flow.tenant):
        return waiting
    return Waiting(flow=choice.flow, jobs=[job for job in waiting.jobs if job.job != choice.job])


def _all(line: Line) -> Sequence[Waiting]:
    return [*line.waiting, *line.oldest]


def _leased(choices: Sequence[Choice], worker: WorkerId, now: datetime, lease_s: float) -> Any:
    charges = {choice.job: literal(_document(choice.charge), JSON) for choice in choices}
    values = {
        "state": JobState.RUNNING,
        "waits_in": None,
        "attempts": jobs.c.attempts + 1,
        "started_at": func.coalesce(jobs.c.started_at, now),
        "lease_worker": worker,
        "lease_token": jobs.c.lease_token + 1,
        "lease_expires_at": now + timedelta(seconds=lease_s),
        "charge": case(charges, value=jobs.c.id),
    }
    return update(jobs).where(jobs.c.id.in_(list(charges)), jobs.c.waits_in.is_not(None)).values(values)


def _document(charge: Charge) -> dict[str, Any]:
    return {**asdict(charge), "share": charge.share.value}


MOVE = (
    update(flows)
    .where(flows.c.lane == bindparam("of_lane"), flows.c.tenant == bindparam("of_tenant"))
    .values(
        start_tag=flows.c.start_tag + bindparam("moved", type_=Float),
        num_queued=flows.c.num_queued - bindparam("taken", type_=Integer),
        num_running=flows.c.num_running + bindparam("taken", type_=Integer),
        waits_in=case((flows.c.num_queued > bindparam("taken", type_=Integer), flows.c.lane), else_=None),
        is_at_burst=flows.c.num_running + bindparam("taken", type_=Integer) >= bindparam("burst", type_=Integer),
    )
)
"""By differences, since jobs may arrive and end meanwhile."""


async def _move_flows(
    connection: AsyncConnection, before: Mapping[tuple[Tier, TenantId], Flow], choices: Sequence[Choice]
) -> None:
    taken = Counter((choice.flow.lane, choice.flow.tenant) for choice in choices)
    last = {(choice.flow.lane, choice.flow.tenant): choice.flow for choice in choices}
    moves = [
        {
            "of_lane": lane,
            "of_tenant": tenant,
            "moved": last[lane, tenant].start_tag - before[lane, tenant].start_tag,
            "taken": taken[lane, tenant],
            "burst": RULES.burst[lane],
        }
        for lane, tenant in sorted(last)
    ]
    await connection.execute(MOVE, moves)


async def _queue(
    connection: AsyncConnection, rows: Mapping[str, RowMapping], seeker: Seeker, now: datetime, most: int
) -> Queue:
    num_flows = NUM_FLOWS + most
    while True:
        reach = Reach(num_flows=num_flows, num_jobs=NUM_JOBS + most, num_oldest=NUM_OLDEST + most)
        found = await look(connection, seeker, now, reach)
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
    """What a running job was charged, as its row keeps it."""
    if document is None:
        return None
    name = document["share"]
    share = Tier(name) if name in set(Tier) else Express(name)
    return Charge(**{**document, "share": share})
