"""Taking the next jobs: a bounded set of candidates by index, the policy's choice, one conditional change.

Claims stand in line at the rows of the shares. What others may change meanwhile (a cancel, an arrival) is found when
the chosen rows are written: the transaction is given up, and the claim looks again. Several jobs are taken in one
transaction where the caller has room for several.

On PostgreSQL a claim does not wait for the disk, so the next in line need not either. A claim that is lost with the
server is a job that waits again; its worker is fenced off by its name, should another hold the same token by then.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Float, Integer, RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.errors import JobUnreadable
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Ending, Job, JobError, JobState, Timings
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.state import RULES, BackloggedFlow, ChosenJob, LaneBacklog, Queue
from mezzotint.store.bulk_write import Statement, Values, columns_of, execute, types_of
from mezzotint.store.database import Database
from mezzotint.store.events.changes import LOG_CHANGE
from mezzotint.store.group_commit import GroupCommit
from mezzotint.store.queue.candidates import SearchBounds, WorkerOffer, find_candidates, flow_order
from mezzotint.store.queue.finish import FinishRequest, finish_jobs
from mezzotint.store.queue.flows import KEY, ROOT, UPDATE_SHARES, accounts_of, lock_shares, share_rows, weights_of
from mezzotint.store.queue.settle import correct
from mezzotint.store.rows import claimed_jobs_of, document_of, lease_of
from mezzotint.store.schema import flows, jobs

log = structlog.get_logger()
NUM_FLOWS = 6
"""Flows a lane beyond those that a batch could use up: what affinity may choose from."""
NUM_JOBS = 2
"""Jobs a flow, the same way."""
NUM_OLDEST = 4
"""Oldest jobs of a lane, the same way: what an express serves."""
MAX_LOOKS = 5
"""Races lost in a row after which the claim gives up until it is called again."""

MAX_CLAIMS = 16
"""Claims of one transaction: others wait for the rows of the shares meanwhile."""


class ClaimConflict(Exception):
    """A chosen job was cancelled or taken meanwhile: nothing of the transaction may stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """lease_s: of each lease. most: jobs that there is room for."""

    offer: WorkerOffer
    now: datetime
    lease_s: float
    most: int


class Claimer:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._group = GroupCommit[ClaimRequest, list[Job]]("claims", self._write, MAX_CLAIMS, gives_up=True)

    async def claim(self, request: ClaimRequest) -> list[Job]:
        """The jobs that run under its leases from now on. Raises: StorageUnavailable."""
        return await self._group.submit(request)

    async def _write(self, together: Sequence[ClaimRequest]) -> list[list[Job]]:
        for _ in range(MAX_LOOKS):
            with suppress(ClaimConflict):
                async with self._database.write() as connection:
                    return await _claim_all(connection, together)
        return [[] for _ in together]


async def _claim_all(connection: AsyncConnection, together: Sequence[ClaimRequest]) -> list[list[Job]]:
    """Requests with equal offers share the jobs that one search finds."""
    now = max(request.now for request in together)
    alike: dict[tuple[WorkerOffer, float], list[int]] = defaultdict(list)
    for number, request in enumerate(together):
        alike[request.offer, request.lease_s].append(number)
    served: list[list[Job]] = [[] for _ in together]
    for (offer, lease_s), numbers in alike.items():
        rows = await take_jobs(connection, offer, now, lease_s, sum(together[number].most for number in numbers))
        jobs, unreadable = await claimed_jobs_of(connection, rows)
        if unreadable:  # one would fail every claim of others, too
            error = JobError.of(JobUnreadable("The job's row cannot be read by this version of the worker."))
            ending = Ending(state=JobState.FAILED, at=now, timings=Timings(), step=0, error=error)
            requests = [FinishRequest(JobId(row["id"]), lease_of(row), ending) for row in unreadable]
            _, corrections = await finish_jobs(connection, requests)
            await correct(connection, corrections)
            log.error("jobs failed that cannot be read", jobs=[row["id"] for row in unreadable])
        for number in numbers:
            most = together[number].most
            served[number], jobs = jobs[:most], jobs[most:]
    return served


async def take_jobs(
    connection: AsyncConnection, offer: WorkerOffer, now: datetime, lease_s: float, most: int
) -> list[RowMapping]:
    """Rows of the jobs that now run under the offer's lease. Raises: ClaimConflict."""
    rows = await lock_shares(connection, asynchronous=True)
    queue = await _read_queue(connection, rows, offer, now, most)
    choices = _choose_jobs(queue, now, most)
    if not choices:
        return []
    until = now + timedelta(seconds=lease_s)
    leases = [
        {"id": choice.job, "worker": offer.worker, "at": now, "until": until, "charge": document_of(choice.charge)}
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


def _choose_jobs(queue: Queue, now: datetime, most: int) -> list[ChosenJob]:
    """Choose jobs one by one, each from about as many candidates as a claim of one job sees."""
    choices: list[ChosenJob] = []
    while len(choices) < most:
        near = [
            replace(line, waiting=line.waiting[: NUM_FLOWS + 1], oldest=line.oldest[: NUM_OLDEST + 1])
            for line in queue.lines
        ]
        choice = choose_job(replace(queue, lines=near), now)
        if choice is None:
            break
        choices.append(choice)
        shares = {**queue.shares, **{account.share: account for account in choice.shares}}
        lines = [_line_after(line, choice) if line.lane is choice.flow.lane else line for line in queue.lines]
        queue = replace(queue, virtual_time=choice.virtual_time, lines=lines, shares=shares)
    return choices


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


LEASE_JOBS = Statement(  # `started_at` is never before `created_at`: the clock may be set back
    name="lease_jobs",
    values={
        "id": jobs.c.id.type,
        "worker": jobs.c.lease_worker.type,
        "at": jobs.c.started_at.type,
        "until": jobs.c.lease_expires_at.type,
        "charge": jobs.c.charge.type,
    },
    sql=f"""
    UPDATE jobs SET
        state = 'running', waits_in = NULL, attempts = attempts + 1,
        started_at = coalesce(started_at, CASE WHEN created_at > given.at THEN created_at ELSE given.at END),
        lease_worker = given.worker, lease_token = lease_token + 1, lease_expires_at = given.until,
        charge = given.charge
    FROM given WHERE jobs.id = given.id AND jobs.waits_in IS NOT NULL
    RETURNING {columns_of(jobs)}""",
    keys=[jobs.c.id],
    returns=types_of(jobs),
)
MOVE_FLOWS = Statement(  # by differences, since jobs may arrive and end meanwhile
    name="move_flows",
    values={**KEY, "moved": Float(), "taken": Integer(), "burst": Integer()},
    sql="""
    UPDATE flows SET
        start_tag = start_tag + given.moved, num_queued = num_queued - given.taken,
        num_running = num_running + given.taken, is_at_burst = num_running + given.taken >= given.burst,
        waits_in = CASE WHEN num_queued > given.taken THEN flows.lane END
    FROM given WHERE flows.lane = given.lane AND flows.tenant = given.tenant""",
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
