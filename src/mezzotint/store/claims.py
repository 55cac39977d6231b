"""Taking the next jobs: a bounded set of candidates by index, the policy's choice, one conditional change.

Claims stand in line at the rows of the shares. What others may change meanwhile (a cancel, an arrival) is found when
the chosen rows are locked: then nothing has been written, and the claim looks again. Several jobs are taken in one
transaction where the caller has room for several: the price of a commit is paid once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, RowMapping, and_, case, or_, select, true, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import JobId, TenantId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_share import choose
from mezzotint.policy.queue import RULES, Candidate, Charge, Choice, Express, Flow, Line, Queue, Waiting, affinity_of
from mezzotint.store.flows import ROOT, accounts_of, flow_of, locked_shares, put_shares, weights_of
from mezzotint.store.schema import flows, jobs

NUM_FLOWS = 6
"""Flows a lane beyond those that a batch could use up: what affinity may choose from."""
NUM_JOBS = 2
"""Jobs a flow, the same way."""
NUM_OLDEST = 4
MAX_LOOKS = 5
"""Races lost in a row after which the claim gives up until it is called again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeker:
    """Who wants work. models: those it can run; None: any. lanes: those it takes jobs of. warm: models in memory.
    shapes: model, width and height of what runs there now."""

    worker: WorkerId
    models: frozenset[str] | None = None
    lanes: frozenset[Tier] = frozenset(Tier)
    warm: frozenset[str] = frozenset()
    shapes: frozenset[tuple[str, int, int]] = field(default_factory=frozenset)

    def affinity(self, row: RowMapping) -> float:
        shape = (row["model"], row["parameters"].get("width", 0), row["parameters"].get("height", 0))
        return affinity_of(is_warm=row["model"] in self.warm, joins_batch=shape in self.shapes)


async def take(
    connection: AsyncConnection, seeker: Seeker, now: datetime, lease_s: float, most: int
) -> list[RowMapping] | None:
    """Rows as they were, of the jobs that now run under the seeker's lease; None: lost a race, nothing was written."""
    rows = await locked_shares(connection)
    queue = await _queue(connection, rows, seeker, now, most)
    choices = _choices(queue, now, most)
    if not choices:
        return []
    chosen = [choice.job for choice in choices]
    query = select(jobs).where(jobs.c.id.in_(chosen), jobs.c.waits_in.is_not(None)).with_for_update()
    found = {row["id"]: row for row in (await connection.execute(query)).mappings()}
    if len(found) < len(chosen):
        return None
    changed = {account.share: account for choice in choices for account in choice.shares}
    await put_shares(connection, list(changed.values()), choices[-1].virtual_time)
    for choice in choices:
        await connection.execute(_leased(choice, seeker.worker, now, lease_s))
    before = {(waiting.flow.lane, waiting.flow.tenant): waiting.flow for line in queue.lines for waiting in _all(line)}
    await _move_flows(connection, before, choices)
    return [found[job] for job in chosen]


def _choices(queue: Queue, now: datetime, most: int) -> list[Choice]:
    choices: list[Choice] = []
    while len(choices) < most and (choice := choose(queue, now)) is not None:
        choices.append(choice)
        queue = _after(queue, choice)
    return choices


def _after(queue: Queue, choice: Choice) -> Queue:
    """The queue without the job that was taken."""
    lines = [
        replace(
            line,
            waiting=[_without(waiting, choice) for waiting in line.waiting],
            oldest=[_without(waiting, choice) for waiting in line.oldest],
        )
        for line in queue.lines
    ]
    changed = {account.share: account for account in choice.shares}
    return replace(queue, virtual_time=choice.virtual_time, lines=lines, shares={**queue.shares, **changed})


def _without(waiting: Waiting, choice: Choice) -> Waiting:
    flow = waiting.flow
    if (flow.lane, flow.tenant) != (choice.flow.lane, choice.flow.tenant):
        return waiting
    return Waiting(flow=choice.flow, jobs=[job for job in waiting.jobs if job.job != choice.job])


def _all(line: Line) -> Sequence[Waiting]:
    return [*line.waiting, *line.oldest]


def _leased(choice: Choice, worker: WorkerId, now: datetime, lease_s: float) -> Any:
    values = {
        "state": JobState.RUNNING,
        "waits_in": None,
        "attempts": jobs.c.attempts + 1,
        "started_at": case((jobs.c.started_at.is_(None), now), else_=jobs.c.started_at),
        "lease_worker": worker,
        "lease_token": jobs.c.lease_token + 1,
        "lease_expires_at": now + timedelta(seconds=lease_s),
        "charge": {**asdict(choice.charge), "share": choice.charge.share.value},
    }
    return update(jobs).where(jobs.c.id == choice.job).values(values)


async def _move_flows(
    connection: AsyncConnection, before: Mapping[tuple[Tier, TenantId], Flow], choices: Sequence[Choice]
) -> None:
    """By differences, since jobs may arrive and end meanwhile."""
    taken = Counter((choice.flow.lane, choice.flow.tenant) for choice in choices)
    last = {(choice.flow.lane, choice.flow.tenant): choice.flow for choice in choices}
    for lane, tenant in sorted(last):
        after, old = last[lane, tenant], before[lane, tenant]
        num_taken = taken[lane, tenant]
        values = {
            "start_tag": flows.c.start_tag + (after.start_tag - old.start_tag),
            "num_queued": flows.c.num_queued - num_taken,
            "num_running": flows.c.num_running + num_taken,
            "waits_in": case((flows.c.num_queued > num_taken, flows.c.lane), else_=None),
            "is_at_burst": flows.c.num_running + num_taken >= RULES.burst[lane],
        }
        await connection.execute(update(flows).where(flows.c.lane == lane, flows.c.tenant == tenant).values(values))


async def _queue(
    connection: AsyncConnection, rows: Mapping[str, RowMapping], seeker: Seeker, now: datetime, most: int
) -> Queue:
    fits = _fits(seeker, now)
    num_flows = NUM_FLOWS + most
    while True:
        waiting = await _waiting(connection, fits, seeker, num_flows, NUM_JOBS + most)
        num_seen = max((num for num, _ in waiting.values()), default=0)
        if any(found for _, found in waiting.values()) or num_seen < num_flows:
            break
        num_flows *= 8  # the first flows have nothing for this worker: look further
    oldest = await _oldest(connection, fits, seeker, NUM_OLDEST + most)
    lines = [Line(lane=lane, waiting=waiting[lane][1], oldest=_same(waiting[lane][1], oldest[lane])) for lane in Tier]
    return Queue(
        virtual_time=rows[ROOT]["virtual_time"],
        lines=[line for line in lines if line.waiting or line.oldest],
        shares=accounts_of(rows),
        weights=weights_of(rows),
    )


def _same(waiting: Sequence[Waiting], oldest: Sequence[Waiting]) -> list[Waiting]:
    """The oldest jobs beside their flows as they were read first: a job may have arrived between the two reads."""
    known = {one.flow.tenant: one.flow for one in waiting}
    return [replace(old, flow=known.get(old.flow.tenant, old.flow)) for old in oldest]


def _fits(seeker: Seeker, now: datetime) -> ColumnElement[bool]:
    """Jobs that this worker may take."""
    welcome = or_(jobs.c.avoid_worker.is_(None), jobs.c.avoid_worker != seeker.worker, jobs.c.avoid_until <= now)
    lanes = jobs.c.lane.in_(sorted(seeker.lanes)) if seeker.lanes != set(Tier) else true()
    return and_(welcome, lanes, true() if seeker.models is None else jobs.c.model.in_(sorted(seeker.models)))


async def _waiting(
    connection: AsyncConnection, fits: ColumnElement[bool], seeker: Seeker, num_flows: int, num_jobs: int
) -> dict[Tier, tuple[int, list[Waiting]]]:
    """By lane: how many flows were looked at, and those of them that have something, in the index's order."""
    first = _first_flows(num_flows)
    heads = _heads(first, fits, num_jobs, is_postgres=connection.dialect.name == "postgresql")
    found: dict[Tier, dict[TenantId, Waiting]] = {lane: {} for lane in Tier}
    seen: dict[Tier, set[str]] = {lane: set() for lane in Tier}
    for row in (await connection.execute(heads)).mappings():
        lane, tenant = Tier(row["lane"]), TenantId(row["tenant"])
        seen[lane].add(tenant)
        if row["id"] is None:
            continue
        waiting = found[lane].setdefault(tenant, Waiting(flow=flow_of(row), jobs=[]))
        found[lane][tenant] = replace(waiting, jobs=[*waiting.jobs, _candidate(row, seeker)])
    return {lane: (len(seen[lane]), _in_order(found[lane].values())) for lane in Tier}


def _in_order(waiting: Any) -> list[Waiting]:
    flows = list(waiting)
    return sorted(flows, key=lambda one: (one.flow.is_at_burst, one.flow.start_tag, one.flow.backlogged_at))


def _first_flows(number: int) -> FromClause:
    """The first flows of every lane by the index `flows_next`."""
    order = (flows.c.is_at_burst, flows.c.start_tag, flows.c.backlogged_at)
    lanes = [
        select(select(flows).where(flows.c.waits_in == lane).order_by(*order).limit(number).subquery()) for lane in Tier
    ]
    return union_all(*lanes).subquery("first")


def _heads(first: FromClause, fits: ColumnElement[bool], number: int, *, is_postgres: bool) -> Any:
    """The flows, each beside its oldest fitting jobs; a flow without one stands alone."""
    wanted = (jobs.c.id, jobs.c.seq, jobs.c.cost, jobs.c.created_at, jobs.c.model, jobs.c.parameters)
    of_flow = and_(jobs.c.waits_in == first.c.lane, jobs.c.tenant == first.c.tenant, fits)
    if is_postgres:
        line = select(*wanted).where(of_flow).order_by(jobs.c.seq).limit(number).correlate(first).lateral("line")
        return select(first, line).select_from(first.outerjoin(line, true())).order_by(line.c.seq)
    seqs = select(jobs.c.seq).where(of_flow).order_by(jobs.c.seq).limit(number).correlate(first)
    return select(first, *wanted).select_from(first.outerjoin(jobs, jobs.c.seq.in_(seqs))).order_by(jobs.c.seq)


async def _oldest(
    connection: AsyncConnection, fits: ColumnElement[bool], seeker: Seeker, number: int
) -> dict[Tier, list[Waiting]]:
    """The oldest jobs of every lane with their flows."""
    lanes = [
        select(select(jobs).where(jobs.c.waits_in == lane, fits).order_by(jobs.c.seq).limit(number).subquery())
        for lane in Tier
    ]
    old = union_all(*lanes).subquery("old")
    at = and_(flows.c.lane == old.c.waits_in, flows.c.tenant == old.c.tenant)
    wanted = (old.c.id, old.c.seq, old.c.cost, old.c.created_at, old.c.model, old.c.parameters)
    query = select(flows, *wanted).select_from(old.join(flows, at)).order_by(old.c.seq)
    found: dict[Tier, dict[TenantId, Waiting]] = {lane: {} for lane in Tier}
    for row in (await connection.execute(query)).mappings():
        lane, tenant = Tier(row["lane"]), TenantId(row["tenant"])
        waiting = found[lane].setdefault(tenant, Waiting(flow=flow_of(row), jobs=[]))
        found[lane][tenant] = replace(waiting, jobs=[*waiting.jobs, _candidate(row, seeker)])
    return {lane: list(found[lane].values()) for lane in Tier}


def _candidate(row: RowMapping, seeker: Seeker) -> Candidate:
    return Candidate(
        job=JobId(row["id"]), cost=row["cost"], created_at=row["created_at"], affinity=seeker.affinity(row)
    )


def charge_of(document: dict[str, Any] | None) -> Charge | None:
    """What a running job was charged, as its row keeps it."""
    if document is None:
        return None
    name = document["share"]
    share = Tier(name) if name in set(Tier) else Express(name)
    return Charge(**{**document, "share": share})
