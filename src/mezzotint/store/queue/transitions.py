"""A job stops waiting or running: its row, its place in the fair queue and the ledger change in one transaction.

Every change of state is one conditional update; whoever comes second changes nothing. Locks are taken in the order
jobs, flows; the shares' accounts are corrected afterwards.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, literal, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.job import JobError, JobState, Lease, remaining_cost
from mezzotint.domain.tier import Tier
from mezzotint.policy.clock import not_before
from mezzotint.policy.fair_queue.settle import MeasuredWork
from mezzotint.policy.fair_queue.state import Charge
from mezzotint.policy.retry import Retry
from mezzotint.store.bulk_write import Insert, Row, Statement, Values, execute
from mezzotint.store.queue.claim import charge_of
from mezzotint.store.queue.flows import QueuedJobs, enqueue_in_flow, leave_flow
from mezzotint.store.queue.settle import SETTLE_FLOWS, ShareCorrection, StoppedJob, settle
from mezzotint.store.rows import fields_of, parameters_of
from mezzotint.store.schema import checkpoints, jobs, ledger

NO_LEASE: dict[str, None] = {"lease_worker": None, "lease_expires_at": None, "charge": None}
CHARGED = "charged"
WAIVED = "waived"
"""What a failed job took: measured, not charged."""


def holds(job: JobId, lease: Lease) -> ColumnElement[bool]:
    """The fence: the row is running under this very lease."""
    return is_held({"id": literal(job), "token": literal(lease.token), "worker": literal(lease.worker)})


def is_held(row: Row) -> ColumnElement[bool]:
    """The fence, for rows of `LEASE_KEY`; only running jobs have a worker.

    That counts, too: a claim that the server lost in a crash had a token that another claim may get again.
    """
    return and_(jobs.c.id == row["id"], jobs.c.lease_token == row["token"], jobs.c.lease_worker == row["worker"])


LEASE_KEY = {"id": jobs.c.id.type, "token": jobs.c.lease_token.type, "worker": jobs.c.lease_worker.type}


async def cancel(connection: AsyncConnection, job: JobId, at: datetime) -> list[ShareCorrection] | None:
    """Cancel a job; None: it has ended. What it took so far is charged."""
    row = await _row(connection, jobs.c.id == job)
    if row is None or JobState(row["state"]).is_final:
        return None
    at = not_before(at, (row["created_at"], row["started_at"]))
    same = and_(jobs.c.id == job, jobs.c.state == row["state"], jobs.c.lease_token == row["lease_token"])
    values = {"state": JobState.CANCELLED, "finished_at": at, "waits_in": None, "due_at": None, **NO_LEASE}
    if not (await connection.execute(update(jobs).where(same).values(values))).rowcount:
        return await cancel(connection, job, at)  # it was taken or given back meanwhile
    corrections: list[ShareCorrection] = []
    lane, tenant = Tier(row["lane"]), TenantId(row["tenant"])
    if row["state"] == JobState.RUNNING:
        done = MeasuredWork(cost=_done(row, row["step"]), gpu_s=0.0, at=at)
        settling = StoppedJob(lane=lane, tenant=tenant, charge=charge_on(row), done_at=lambda _: done)
        settled, corrections = await settle(connection, [settling])
        await execute(connection, {SETTLE_FLOWS: settled})
    elif row["waits_in"] is not None:
        await leave_flow(connection, lane, tenant, at)
    if row["lease_token"]:
        line = LedgerLine(at=at, kind=CHARGED, gpu_s=row["cost_s"], steps=row["step"], worker=row["lease_worker"])
        await execute(connection, {UPSERT_LEDGER: [ledger_entry(row, line)]})
    return corrections


async def charge_cancelled(connection: AsyncConnection, job: JobId, lease: Lease, gpu_s: float) -> None:
    """What a cancelled run had taken by the time its worker heard of it; only under the lease that was cancelled."""
    same = and_(jobs.c.id == job, jobs.c.state == JobState.CANCELLED, jobs.c.lease_token == lease.token)
    if (await connection.execute(update(jobs).where(same).values(cost_s=gpu_s))).rowcount:
        mine = and_(ledger.c.job == job, ledger.c.worker == lease.worker)
        await connection.execute(update(ledger).where(mine).values(gpu_s=gpu_s))


async def give_back(
    connection: AsyncConnection, job: JobId, lease: Lease, at: datetime, *, retry: Retry | None, gpu_s: float
) -> ShareCorrection | None:
    """A running job waits again, with its checkpoints. None: the lease was no longer held.

    retry: when it failed: from when on, which worker is to leave it alone, and whether a worker ended while it ran it.
    gpu_s: measured in this attempt.
    """
    row = await _row(connection, holds(job, lease))
    if row is None:
        return None
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
    if retry is not None:
        values |= {"avoid_worker": retry.avoid, "avoid_until": retry.avoid_until}
    if retry is not None and retry.is_suspect:
        values |= {"num_losses": jobs.c.num_losses + 1, "lost_step": row["step"]}
    if not (await connection.execute(update(jobs).where(holds(job, lease)).values(values))).rowcount:
        return None
    lane, tenant = Tier(row["lane"]), TenantId(row["tenant"])
    done = MeasuredWork(cost=_done(row, step), gpu_s=gpu_s, at=at)
    timed_cost = done.cost if retry is None else 0.0  # a failed run went on beyond its checkpoint
    settling = StoppedJob(
        lane=lane, tenant=tenant, charge=charge_on(row), done_at=lambda _: done, timed_cost=timed_cost
    )
    settled, (correction,) = await settle(connection, [settling])
    await execute(connection, {SETTLE_FLOWS: settled})
    if is_due:
        await enqueue_in_flow(connection, [QueuedJobs(lane, tenant, 1, at)])
    return correction


async def clear_suspicion(connection: AsyncConnection, job: JobId, lease: Lease) -> None:
    """Take back that a worker was lost: only its lease had ended. Changes nothing once the job was claimed again."""
    waits = and_(jobs.c.id == job, jobs.c.state == JobState.QUEUED, jobs.c.lease_token == lease.token)
    fewer = update(jobs).where(waits, jobs.c.num_losses > 0).values(num_losses=jobs.c.num_losses - 1)
    await connection.execute(fewer)


async def expire(connection: AsyncConnection, row: RowMapping, error: JobError, at: datetime) -> bool:
    """Give up a job that waited too long and never began. Returns whether it still waited."""
    waiting = and_(jobs.c.id == row["id"], jobs.c.waits_in.is_not(None), jobs.c.lease_token == 0)
    at = not_before(at, (row["created_at"],))
    values = {"state": JobState.EXPIRED, "finished_at": at, "waits_in": None, "error": asdict(error)}
    if not (await connection.execute(update(jobs).where(waiting).values(values))).rowcount:
        return False
    await leave_flow(connection, Tier(row["lane"]), TenantId(row["tenant"]), at)
    return True


async def come_due(connection: AsyncConnection, row: RowMapping, now: datetime) -> bool:
    """A job whose next try is due waits again. Returns whether it was still put off."""
    put_off = and_(jobs.c.id == row["id"], jobs.c.state == JobState.QUEUED, jobs.c.due_at.is_not(None))
    values = {"waits_in": row["lane"], "due_at": None}
    if not (await connection.execute(update(jobs).where(put_off).values(values))).rowcount:
        return False
    await enqueue_in_flow(connection, [QueuedJobs(Tier(row["lane"]), TenantId(row["tenant"]), 1, now)])
    return True


async def revive(connection: AsyncConnection, job: JobId, now: datetime) -> bool:
    """A dead letter waits again, as if new. Returns whether it was one."""
    row = await _row(connection, and_(jobs.c.id == job, jobs.c.state == JobState.FAILED))
    if row is None:
        return False
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
    dead = and_(jobs.c.id == job, jobs.c.state == JobState.FAILED)
    if not (await connection.execute(update(jobs).where(dead).values(values))).rowcount:
        return False
    await enqueue_in_flow(connection, [QueuedJobs(Tier(row["lane"]), TenantId(row["tenant"]), 1, now)])
    return True


async def _row(connection: AsyncConnection, condition: ColumnElement[bool]) -> RowMapping | None:
    return (await connection.execute(select(jobs).where(condition))).mappings().first()


def charge_on(row: RowMapping) -> Charge:
    """What the job was charged; nothing for one that was taken before there were charges."""
    return charge_of(row["charge"]) or Charge(share=Tier(row["lane"]), cost=1.0, to_share=0.0, to_flow=0.0)


def _done(row: RowMapping, step: int) -> float:
    """Step-megapixels done since the job was taken, if it got as far as `step`."""
    return max(0.0, float(row["cost"]) - remaining_cost(parameters_of(row["parameters"]), step))


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """What the ledger says of a job. gpu_s: over all attempts, as far as the last went on from them."""

    at: datetime
    kind: str
    gpu_s: float
    steps: int
    worker: str | None


def ledger_entry(row: RowMapping, line: LedgerLine) -> Values:
    said = fields_of(line)
    return {"job": row["id"], "tenant": row["tenant"], "month": f"{line.at:%Y-%m}", "lane": row["lane"], **said}


def _upsert(row: Row, insert: Insert) -> Any:
    """One line a job, whatever its attempts; that of a dead letter gives way when it is retried."""
    new = insert(ledger)
    line = new.from_select(list(row), select(*row.values()).where(true()))
    values = {name: new.excluded[name] for name in row if name != "job"}
    return line.on_conflict_do_update(index_elements=["job"], set_=values)


UPSERT_LEDGER = Statement(name="line", values={column.name: column.type for column in ledger.c}, make=_upsert)
