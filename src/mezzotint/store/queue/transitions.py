"""Changes of jobs' states beside a claim and an end under a lease: cancel, give back, expire, come due, revive.

Each locks the rows of the jobs, decides by what they say, and hands the changes to `transition`, which writes the
rows, their tenants' flows, the ledger and the log in the caller's transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.job import OPEN, TRANSITIONS, JobError, JobState, Lease, remaining_cost
from mezzotint.domain.tier import Tier
from mezzotint.policy.clock import latest_of
from mezzotint.policy.fair_queue.settle import MeasuredWork
from mezzotint.policy.fair_queue.state import Charge
from mezzotint.policy.retry import Retry
from mezzotint.store.bulk_write import Statement, Values, execute, types_of
from mezzotint.store.events.changes import ADD_DELIVERIES, LOG_CHANGE
from mezzotint.store.queue.flows import ENQUEUE_FLOW, LEAVE_FLOW, QueuedJobs, count_by_flow
from mezzotint.store.queue.settle import SETTLE_FLOWS, ShareCorrection, StoppedJob, settle
from mezzotint.store.rows import charge_of, fields_of, parameters_of
from mezzotint.store.schema import checkpoints, jobs, ledger

NO_LEASE: dict[str, None] = {"lease_worker": None, "lease_expires_at": None, "charge": None}
CHARGED = "charged"
WAIVED = "waived"
"""The work of a failed job is measured and not charged."""


def holds(job: JobId, lease: Lease) -> ColumnElement[bool]:
    """The fence: the row is running under this very lease. Only running jobs have a worker.

    The worker counts, too: a claim that the server lost in a crash had a token that another claim may get again.
    """
    return and_(jobs.c.id == job, jobs.c.lease_token == lease.token, jobs.c.lease_worker == lease.worker)


LEASE_KEY = {"id": jobs.c.id.type, "token": jobs.c.lease_token.type, "worker": jobs.c.lease_worker.type}
IS_HELD = "jobs.id = given.id AND jobs.lease_token = given.token AND jobs.lease_worker = given.worker"
"""The fence as SQL, over rows of `LEASE_KEY`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """The next state of a job whose row is locked.

    row: as it is. values: the columns that change. work: of a running job, the work it did since it was claimed.
    timed_cost: as in `StoppedJob`. line: for the ledger.
    """

    row: RowMapping
    at: datetime
    values: Mapping[str, Any]
    work: MeasuredWork | None = None
    timed_cost: float = 0.0
    line: "LedgerLine | None" = None

    @property
    def state(self) -> JobState:
        return JobState(self.values.get("state", self.row["state"]))

    @property
    def is_waiting(self) -> bool:
        return self.row["waits_in"] is not None

    @property
    def is_waiting_next(self) -> bool:
        return self.values.get("waits_in", self.row["waits_in"]) is not None

    @property
    def is_new_state(self) -> bool:
        return self.state is not JobState(self.row["state"])


async def lock_jobs(connection: AsyncConnection, which: ColumnElement[bool]) -> Sequence[RowMapping]:
    """Rows of the jobs that meet a condition once they are locked, in the order of their ids."""
    query = select(jobs).where(which).order_by(jobs.c.id).with_for_update(key_share=True)
    return (await connection.execute(query)).mappings().all()


async def transition(connection: AsyncConnection, changes: Sequence[JobChange]) -> list[ShareCorrection]:
    """Write the next states of locked jobs. Returns the corrections of the shares, which are for the caller to make.

    A job that stops running is settled with its flow; one that begins or stops to wait is counted there. A new state
    is logged, and a final one is due to the tenant's webhooks.
    """
    for one in changes:
        assert not one.is_new_state or one.state in TRANSITIONS[JobState(one.row["state"])], "no such transition"
        await connection.execute(update(jobs).where(jobs.c.id == one.row["id"]).values(one.values))
    stopped = [_build_stopped_job(one, one.work) for one in changes if one.work is not None]
    settled, corrections = await settle(connection, stopped) if stopped else ([], [])
    begin, stop = _count_waiting(changes, 1), _count_waiting(changes, -1)
    lines = [ledger_entry(one.row, one.line) for one in changes if one.line is not None]
    await execute(connection, {SETTLE_FLOWS: settled, LEAVE_FLOW: count_by_flow(stop), UPSERT_LEDGER: lines})
    logged = [{"job": one.row["id"], "state": one.state, "at": one.at} for one in changes if one.is_new_state]
    final = [row for row in logged if row["state"].is_final]
    # in a statement of its own: on PostgreSQL no statement changes a row twice, and a flow may be settled above
    await execute(connection, {ENQUEUE_FLOW: count_by_flow(begin), LOG_CHANGE: logged, ADD_DELIVERIES: final})
    return corrections


def _count_waiting(changes: Sequence[JobChange], difference: int) -> list[QueuedJobs]:
    """The jobs that begin to wait (1) or stop waiting (-1) without being claimed."""
    return [
        QueuedJobs(Tier(one.row["lane"]), TenantId(one.row["tenant"]), 1, one.at)
        for one in changes
        if (one.is_waiting_next - one.is_waiting) == difference
    ]


def _build_stopped_job(change: JobChange, work: MeasuredWork) -> StoppedJob:
    row = change.row
    return StoppedJob(
        lane=Tier(row["lane"]),
        tenant=TenantId(row["tenant"]),
        charge=charge_on(row),
        done_at=lambda _: work,
        timed_cost=change.timed_cost,
    )


async def cancel(connection: AsyncConnection, job: JobId, at: datetime) -> list[ShareCorrection] | None:
    """Cancel a queued or running job and charge the work it did so far. None: it has ended."""
    for row in await lock_jobs(connection, and_(jobs.c.id == job, jobs.c.state.in_(OPEN))):
        at = latest_of(at, (row["created_at"], row["started_at"]))
        line = LedgerLine(at=at, kind=CHARGED, gpu_s=row["cost_s"], steps=row["step"], worker=row["lease_worker"])
        is_running = row["state"] == JobState.RUNNING
        change = JobChange(
            row=row,
            at=at,
            values={"state": JobState.CANCELLED, "finished_at": at, "waits_in": None, "due_at": None, **NO_LEASE},
            work=MeasuredWork(cost=_measure_done(row, row["step"]), gpu_s=0.0, at=at) if is_running else None,
            line=line if row["lease_token"] else None,
        )
        return await transition(connection, [change])
    return None


async def charge_cancelled(connection: AsyncConnection, job: JobId, lease: Lease, gpu_s: float) -> None:
    """Charge the time of a cancelled run until its worker stopped it; only under the lease that was cancelled."""
    same = and_(jobs.c.id == job, jobs.c.state == JobState.CANCELLED, jobs.c.lease_token == lease.token)
    if (await connection.execute(update(jobs).where(same).values(cost_s=gpu_s))).rowcount:
        mine = and_(ledger.c.job == job, ledger.c.worker == lease.worker)
        await connection.execute(update(ledger).where(mine).values(gpu_s=gpu_s))


async def give_back(
    connection: AsyncConnection, job: JobId, lease: Lease, at: datetime, *, retry: Retry | None, gpu_s: float
) -> list[ShareCorrection] | None:
    """Put a running job back into the queue with its checkpoints. None: the lease was no longer held.

    retry: when the run failed: the earliest next try, the worker that is to leave it alone, and whether a worker ended
    while it ran the job. gpu_s: measured in this attempt.
    """
    for row in await lock_jobs(connection, holds(job, lease)):
        saved = select(checkpoints.c.step, checkpoints.c.cost_s).where(checkpoints.c.job == job)
        newest = (await connection.execute(saved.order_by(checkpoints.c.step.desc()).limit(1))).first()
        step, cost_s = (newest[0], newest[1]) if newest else (0, 0.0)
        is_due = retry is None or retry.not_before <= at
        values: dict[str, Any] = {
            "state": JobState.QUEUED,
            "waits_in": row["lane"] if is_due else None,
            "due_at": None if is_due or retry is None else retry.not_before,
            "cost": remaining_cost(parameters_of(row["parameters"]), step),
            "cost_s": cost_s,
            "step": step,
            **NO_LEASE,
        }
        if retry is None or not retry.is_charged:
            values["attempts"] = max(row["attempts"] - 1, 0)
        if retry is not None:
            values |= {"avoid_worker": retry.avoid, "avoid_until": retry.avoid_until}
        if retry is not None and retry.is_suspect:
            values |= {"num_losses": row["num_losses"] + 1, "lost_step": row["step"]}
        work = MeasuredWork(cost=_measure_done(row, step), gpu_s=gpu_s, at=at)
        timed_cost = work.cost if retry is None else 0.0  # a failed run went on beyond its checkpoint
        change = JobChange(row=row, at=at, values=values, work=work, timed_cost=timed_cost)
        return await transition(connection, [change])
    return None


async def clear_suspicion(connection: AsyncConnection, job: JobId, lease: Lease) -> None:
    """Take back that a worker was lost: only its lease had ended. Changes nothing once the job was claimed again."""
    waits = and_(jobs.c.id == job, jobs.c.state == JobState.QUEUED, jobs.c.lease_token == lease.token)
    fewer = update(jobs).where(waits, jobs.c.num_losses > 0).values(num_losses=jobs.c.num_losses - 1)
    await connection.execute(fewer)


async def expire(connection: AsyncConnection, ids: Collection[JobId], error: JobError, at: datetime) -> list[JobId]:
    """End waiting jobs that no worker ever claimed. Returns those that still waited."""
    unclaimed = and_(jobs.c.id.in_(ids), jobs.c.waits_in.is_not(None), jobs.c.lease_token == 0)
    values = {"state": JobState.EXPIRED, "waits_in": None, "error": asdict(error)}
    changes = []
    for row in await lock_jobs(connection, unclaimed):
        ended_at = latest_of(at, (row["created_at"],))
        changes.append(JobChange(row=row, at=ended_at, values={**values, "finished_at": ended_at}))
    await transition(connection, changes)
    return [JobId(one.row["id"]) for one in changes]


async def come_due(connection: AsyncConnection, ids: Collection[JobId], now: datetime) -> int:
    """Let jobs wait again whose next try is due. Returns the number of those that were still put off."""
    put_off = and_(jobs.c.id.in_(ids), jobs.c.state == JobState.QUEUED, jobs.c.due_at.is_not(None))
    rows = await lock_jobs(connection, put_off)
    changes = [JobChange(row=row, at=now, values={"waits_in": row["lane"], "due_at": None}) for row in rows]
    await transition(connection, changes)
    return len(changes)


async def revive(connection: AsyncConnection, job: JobId, now: datetime) -> bool:
    """Put a failed job back into the queue, as if new. Returns whether it was a failed job."""
    rows = await lock_jobs(connection, and_(jobs.c.id == job, jobs.c.state == JobState.FAILED))
    for row in rows:
        values = {
            "state": JobState.QUEUED,
            "waits_in": row["lane"],
            "finished_at": None,
            "error": None,
            "attempts": 0,
            "step": 0,
            "cost_s": 0.0,
            "cost": remaining_cost(parameters_of(row["parameters"]), 0),
            "avoid_worker": None,
            "num_losses": 0,
        }
        await transition(connection, [JobChange(row=row, at=now, values=values)])
    return bool(rows)


def charge_on(row: RowMapping) -> Charge:
    """The charge of a running job; nothing for one that was taken before there were charges."""
    return charge_of(row["charge"]) or Charge(share=Tier(row["lane"]), cost=1.0, to_share=0.0, to_flow=0.0)


def _measure_done(row: RowMapping, step: int) -> float:
    """Step-megapixels done since the job was taken, if it got as far as `step`."""
    return max(0.0, float(row["cost"]) - remaining_cost(parameters_of(row["parameters"]), step))


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """The ledger's line of a job. gpu_s: over all attempts, as far as the last went on from them. num_passes,
    num_forecast: of a job whose run came to its end."""

    at: datetime
    kind: str
    gpu_s: float
    steps: int
    worker: str | None
    num_passes: int = 0
    num_forecast: int = 0


def ledger_entry(row: RowMapping, line: LedgerLine) -> Values:
    said = fields_of(line)
    return {"job": row["id"], "tenant": row["tenant"], "month": f"{line.at:%Y-%m}", "lane": row["lane"], **said}


LINE = types_of(ledger)
UPSERT_LEDGER = Statement(  # one line a job, whatever its attempts; a retried job replaces its line
    name="upsert_ledger",
    values=LINE,
    sql=f"""
    INSERT INTO ledger ({", ".join(LINE)}) SELECT {", ".join(LINE)} FROM given WHERE true
    ON CONFLICT (job) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in LINE if name != "job")}""",
)
