"""Rows of jobs. `store/queue` changes them together with the fair queue."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.errors import LeaseLost, StorageUnavailable
from mezzotint.domain.ids import JobId, OwnerId, TenantId, WorkerId
from mezzotint.domain.job import OPEN, CheckpointRef, Ending, Job, JobError, JobState, Lease
from mezzotint.domain.submission import Once, TooManyOpen
from mezzotint.domain.tier import Tier
from mezzotint.policy.retry import Retry, latest_due
from mezzotint.store.bulk_write import Statement, execute
from mezzotint.store.database import Database
from mezzotint.store.group_commit import GroupCommit
from mezzotint.store.queue import transitions
from mezzotint.store.queue.candidates import WorkerOffer, is_suspect_waiting
from mezzotint.store.queue.claim import Claimer, ClaimRequest
from mezzotint.store.queue.enqueue import Enqueuer
from mezzotint.store.queue.finish import FinishRequest, finish_jobs
from mezzotint.store.queue.lanes import Lanes
from mezzotint.store.queue.losses import WorkerLosses
from mezzotint.store.queue.reuse import find_reusable, is_source_there
from mezzotint.store.queue.settle import ShareCorrection, correct
from mezzotint.store.rows import get_job, jobs_of, newest_of_owners
from mezzotint.store.schema import checkpoints, jobs, ledger

MANY = 200
"""Most rows changed in one go by what tidies up; the rest follows at the next tick."""


# Asked at every submit or look at a job: building a statement takes longer than executing it.
STANDING = select(
    select(func.count())
    .where(jobs.c.tenant == bindparam("of_tenant"), jobs.c.state.in_(OPEN))
    .scalar_subquery()
    .label("num_open"),
    select(func.sum(ledger.c.gpu_s))
    .where(ledger.c.tenant == bindparam("of_tenant"), ledger.c.month == bindparam("in_month"))
    .where(ledger.c.kind == transitions.CHARGED)
    .scalar_subquery()
    .label("used_s"),
)
AHEAD = select(func.count()).where(
    jobs.c.waits_in == bindparam("of_lane"),
    jobs.c.seq < select(jobs.c.seq).where(jobs.c.id == bindparam("of_job")).scalar_subquery(),
)


RENEW_LEASES = Statement(
    name="renew_leases",
    values={**transitions.LEASE_KEY, "step": jobs.c.step.type, "until": jobs.c.lease_expires_at.type},
    sql=f"""
    UPDATE jobs SET lease_expires_at = given.until, step = coalesce(given.step, jobs.step)
    FROM given WHERE {transitions.IS_HELD}
    RETURNING jobs.id""",
    keys=[jobs.c.id],
    returns={"id": jobs.c.id.type},
)


class Jobs:
    """The jobs of every tenant. Callers check who may see what."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._enqueuer = Enqueuer(database)
        self._claimer = Claimer(database)
        self._finishes = GroupCommit[FinishRequest, Job]("endings", self._finish_all, MANY, key=lambda one: one.job)
        self.lanes = Lanes(database)
        self.losses = WorkerLosses(database)

    async def add(self, *added: Job, once: Once | None = None, most_open: int | None = None) -> bool | TooManyOpen:
        """Write new jobs of one tenant, all or none. False, and nothing written, when `once` was taken already.

        most_open: how many open jobs the tenant may have with them, counted in the transaction that writes them;
        TooManyOpen, and nothing written, when there would be more. None: any number.
        """
        return await self._enqueuer.enqueue(added, once, most_open)

    async def get(self, job: JobId) -> Job | None:
        async with self._database.read() as connection:
            return await get_job(connection, job)

    async def of_tenant(
        self,
        tenant: TenantId,
        limit: int,
        before: int | None,
        owners: Collection[OwnerId] | None = None,
        states: Collection[JobState] = (),
    ) -> list[tuple[int, Job]]:
        """The tenant's jobs, newest first, each with its place in the order (the cursor of the next page).

        owners: whose in the tenant; None: everybody's. states: only jobs in one of these; none: in any.
        """
        condition = jobs.c.tenant == tenant
        if before is not None:
            condition = and_(condition, jobs.c.seq < before)
        newest = newest_of_owners(select(jobs.c.seq).where(condition), jobs, limit, owners, states)
        query = select(jobs).where(jobs.c.seq.in_(newest)).order_by(jobs.c.seq.desc())
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
            return [(row["seq"], job) for row, job in zip(rows, await jobs_of(connection, rows), strict=True)]

    async def standing(self, tenant: TenantId, month: str) -> tuple[int, float]:
        """Count the open jobs of a tenant, and the GPU-seconds charged to it in a month (`2026-01`)."""
        async with self._database.read() as connection:
            row = (await connection.execute(STANDING, {"of_tenant": tenant, "in_month": month})).one()
        return int(row.num_open), float(row.used_s or 0.0)

    async def of_all(
        self, limit: int, before: int | None, state: JobState | None, tenant: TenantId | None
    ) -> list[tuple[int, Job]]:
        """Everybody's jobs, newest first, each with its place in the order."""
        query = select(jobs).order_by(jobs.c.seq.desc()).limit(limit)
        for column, value in ((jobs.c.state, state), (jobs.c.tenant, tenant)):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(jobs.c.seq < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
            return [(row["seq"], job) for row, job in zip(rows, await jobs_of(connection, rows), strict=True)]

    async def num_ended_since(self, at: datetime) -> int:
        """Count the jobs of everybody that succeeded since an instant."""
        query = select(func.count()).where(jobs.c.state == JobState.SUCCEEDED, jobs.c.finished_at >= at)
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def open_of(self, tenant: TenantId, owners: Collection[OwnerId] | None = None) -> list[Job]:
        """The tenant's jobs that are queued or running, oldest first. owners: whose in it; None: everybody's."""
        query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.state.in_(OPEN)).order_by(jobs.c.seq)
        if owners is not None:
            query = query.where(jobs.c.owner.in_(owners))
        async with self._database.read() as connection:
            return await jobs_of(connection, (await connection.execute(query)).mappings().all())

    async def position(self, job: Job) -> int | None:
        """Count the queued jobs of its lane that are ahead of it; None unless it is queued."""
        if job.state is not JobState.QUEUED:
            return None
        async with self._database.read() as connection:
            found = await connection.execute(AHEAD, {"of_job": job.id, "of_lane": job.lane})
            return int(found.scalar_one())

    async def backlog(self) -> list[tuple[Tier, JobState, int, datetime]]:
        """Open jobs by lane and state: how many, and since when the oldest has been there."""
        query = (
            select(jobs.c.lane, jobs.c.state, func.count(), func.min(jobs.c.created_at))
            .where(jobs.c.state.in_(OPEN))
            .group_by(jobs.c.lane, jobs.c.state)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [(Tier(tier), JobState(state), number, oldest) for tier, state, number, oldest in rows]

    async def claim(self, offer: WorkerOffer, now: datetime, lease_s: float, most: int = 1) -> list[Job]:
        """Take up to `most` jobs for a worker, in the order that fair share gives them; none when nothing waits."""
        return await self._claimer.claim(ClaimRequest(offer=offer, now=now, lease_s=lease_s, most=most))

    async def is_waiting(
        self,
        lane: Tier,
        models: frozenset[str] | None,
        tenants: frozenset[TenantId] | None = None,
        regions: Collection[str] | None = None,
    ) -> bool:
        """Say whether a job of the lane could be claimed. None: any model, tenant, region. regions: beside none."""
        fits = and_(jobs.c.waits_in == lane, jobs.c.num_losses == 0)
        if models is not None:
            fits = and_(fits, jobs.c.model.in_(sorted(models)))
        if tenants is not None:
            fits = and_(fits, jobs.c.tenant.in_(sorted(tenants)))
        if regions is not None:
            fits = and_(fits, or_(jobs.c.region.is_(None), jobs.c.region.in_(regions)))
        async with self._database.read() as connection:
            return (await connection.execute(select(jobs.c.seq).where(fits).limit(1))).first() is not None

    async def is_suspect_waiting(self, offer: WorkerOffer, now: datetime) -> bool:
        """Say whether a job could be claimed that is to run alone, since a worker ended while it ran it."""
        async with self._database.read() as connection:
            return await is_suspect_waiting(connection, offer, now)

    async def clear_suspicion(self, job: JobId, lease: Lease) -> None:
        """Take back that a worker was lost: only its lease had ended, and nobody has claimed the job since."""
        async with self._database.write() as connection:
            await transitions.clear_suspicion(connection, job, lease)
        await self.losses.take_back(lease.worker, job)

    async def renew(self, held: dict[JobId, Lease], steps: dict[JobId, int], expires_at: datetime) -> set[JobId]:
        """Extend the leases and write the steps reached. Returns the jobs whose lease is still held."""
        rows = [
            {"id": job, "token": lease.token, "worker": lease.worker, "step": steps.get(job), "until": expires_at}
            for job, lease in held.items()
        ]
        async with self._database.write(is_one=True) as connection:
            return {JobId(row["id"]) for row in await execute(connection, {RENEW_LEASES: rows})}

    async def add_checkpoint(
        self, job: JobId, lease: Lease, saved: CheckpointRef, keep: int, at: datetime
    ) -> list[str]:
        """Add a checkpoint; keep the last `keep`. Returns the keys no longer referenced. Raises: LeaseLost."""
        async with self._database.write() as connection:
            result = await connection.execute(
                update(jobs)
                .where(transitions.holds(job, lease))
                .values(attempts=0, cost_s=saved.cost_s, num_losses=still_suspected(saved.step))
            )
            if not result.rowcount:
                raise LeaseLost(f"job {job}: the checkpoint of step {saved.step} came too late")
            await connection.execute(delete(checkpoints).where(_is_checkpoint(job, saved.step)))
            row = {"job": job, "step": saved.step, "key": saved.key, "created_at": at, "cost_s": saved.cost_s}
            await connection.execute(insert(checkpoints).values(row))
            query = select(checkpoints).where(checkpoints.c.job == job).order_by(checkpoints.c.step.desc()).offset(keep)
            old = (await connection.execute(query)).mappings().all()
            for gone in old:
                await connection.execute(delete(checkpoints).where(_is_checkpoint(job, gone["step"])))
            return [gone["key"] for gone in old]

    async def drop_checkpoint(self, job: JobId, step: int) -> None:
        """Forget a checkpoint that cannot be used."""
        async with self._database.write() as connection:
            await connection.execute(delete(checkpoints).where(_is_checkpoint(job, step)))

    async def drop_checkpoints(self, job: JobId) -> None:
        """Forget all checkpoints of a job that ended."""
        async with self._database.write() as connection:
            await connection.execute(delete(checkpoints).where(checkpoints.c.job == job))

    async def checkpoint_keys(self, job: JobId) -> list[str]:
        async with self._database.read() as connection:
            query = select(checkpoints.c.key).where(checkpoints.c.job == job)
            return list((await connection.execute(query)).scalars())

    async def open_checkpoint_keys(self) -> set[str]:
        """Keys of the checkpoints that a queued or running job may go on from."""
        query = select(checkpoints.c.key).join(jobs, jobs.c.id == checkpoints.c.job).where(jobs.c.state.in_(OPEN))
        async with self._database.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def drop_checkpoints_of_ended(self) -> None:
        """Forget checkpoints that a crash left behind the end of their job."""
        ended = select(jobs.c.id).where(jobs.c.state.not_in(OPEN))
        async with self._database.write() as connection:
            await connection.execute(delete(checkpoints).where(checkpoints.c.job.in_(ended)))

    async def finish(self, job: JobId, lease: Lease, ending: Ending) -> Job:
        """End a running job, with its pictures and its charge, once. Raises: LeaseLost."""
        return await self._finishes.submit(FinishRequest(job, lease, ending))

    async def find_reusable(self, job: Job, key: str) -> Job | None:
        """A job whose stored pictures may answer this one. key: of `policy/reuse.py`."""
        async with self._database.read() as connection:
            return await find_reusable(connection, job, key)

    async def finish_reused(self, job: JobId, lease: Lease, ending: Ending) -> Job | None:
        """End a running job with the pictures of another; None, and nothing written, where these are gone.

        Raises: LeaseLost.
        """
        async with self._settle_after() as (connection, owed):
            if not await is_source_there(connection, ending):
                return None
            ended, corrections = await finish_jobs(connection, [FinishRequest(job, lease, ending)])
            owed.extend(corrections)
        if job not in ended:
            raise LeaseLost(f"job {job} is no longer held by {lease.worker}")
        return ended[job]

    async def _finish_all(self, together: Sequence[FinishRequest]) -> list[Job | LeaseLost]:
        async with self._settle_after() as (connection, owed):
            ended, corrections = await finish_jobs(connection, together)
            owed.extend(corrections)
        lost = "job {0.job} is no longer held by {0.lease.worker}"
        return [ended.get(one.job) or LeaseLost(lost.format(one)) for one in together]

    @asynccontextmanager
    async def _settle_after(self) -> AsyncIterator[tuple[AsyncConnection, list[ShareCorrection]]]:
        """A transaction that ends jobs, and what it finds that shares were charged too much or too little.

        PostgreSQL: claims stand in line at the rows of the shares, so these are changed afterwards, by a transaction
        that does not wait for the disk. A correction lost with its process leaves the prediction standing.
        """
        owed: list[ShareCorrection] = []
        async with self._database.write() as connection:
            yield connection, owed
            if not self._database.is_postgres:
                await correct(connection, owed)
        if owed and self._database.is_postgres:
            with suppress(StorageUnavailable):
                async with self._database.write(is_one=True) as connection:
                    await correct(connection, owed)

    async def cancel(self, job: JobId, at: datetime) -> bool:
        """Cancel a job that has not ended. Returns whether it did."""
        async with self._settle_after() as (connection, owed):
            corrections = await transitions.cancel(connection, job, at)
            owed.extend(corrections or ())
        return corrections is not None

    async def charge_cancelled(self, job: JobId, lease: Lease, gpu_s: float) -> None:
        """Charge a cancelled job what its run had taken by the time its worker heard of it."""
        async with self._database.write() as connection:
            await transitions.charge_cancelled(connection, job, lease, gpu_s)

    async def requeue(
        self, job: JobId, lease: Lease, at: datetime, *, retry: Retry | None = None, gpu_s: float = 0.0
    ) -> bool:
        """Give a running job back to the queue with its checkpoints. Returns whether the lease was still held.

        retry: when its run failed. gpu_s: measured in this attempt.
        """
        async with self._settle_after() as (connection, owed):
            corrections = await transitions.give_back(connection, job, lease, at, retry=retry, gpu_s=gpu_s)
            owed.extend(corrections or ())
        return corrections is not None

    async def come_due(self, now: datetime) -> int:
        """Let the jobs whose next try is due wait again. Returns how many."""
        due = or_(jobs.c.due_at <= now, jobs.c.due_at > latest_due(now))
        ids = await self._find_ids(select(jobs.c.id).where(due).limit(MANY))
        if not ids:
            return 0
        async with self._database.write() as connection:
            return await transitions.come_due(connection, ids, now)

    async def expire(self, lane: Tier, before: datetime, error: JobError, at: datetime) -> list[JobId]:
        """Give up jobs of a lane that were created before an instant and never began."""
        old = and_(jobs.c.waits_in == lane, jobs.c.created_at < before, jobs.c.lease_token == 0)
        ids = await self._find_ids(select(jobs.c.id).where(old).order_by(jobs.c.seq).limit(MANY))
        if not ids:
            return []
        async with self._database.write() as connection:
            return await transitions.expire(connection, ids, error, at)

    async def _find_ids(self, query: Select[Any]) -> list[JobId]:
        async with self._database.read() as connection:
            return [JobId(id) for id in (await connection.execute(query)).scalars()]

    async def list_failed(self, limit: int) -> list[Job]:
        """Jobs that failed, the latest first."""
        query = select(jobs).where(jobs.c.state == JobState.FAILED).order_by(jobs.c.finished_at.desc()).limit(limit)
        async with self._database.read() as connection:
            return await jobs_of(connection, (await connection.execute(query)).mappings().all())

    async def revive(self, job: JobId, now: datetime) -> bool:
        """Put a dead letter back into the queue. Returns whether it was one."""
        async with self._database.write() as connection:
            return await transitions.revive(connection, job, now)

    async def wait_times(self, since: datetime, now: datetime) -> dict[Tier, list[float]]:
        """By lane, seconds waited by jobs that started lately and by the oldest of those that still wait."""
        started = select(jobs.c.lane, jobs.c.created_at, jobs.c.started_at).where(jobs.c.started_at >= since)
        waits: dict[Tier, list[float]] = {lane: [] for lane in Tier}
        async with self._database.read() as connection:
            for lane, created_at, at in await connection.execute(started.limit(10 * MANY)):
                waits[Tier(lane)].append(max((at - created_at).total_seconds(), 0.0))
            for lane in Tier:
                oldest = select(jobs.c.created_at).where(jobs.c.waits_in == lane).order_by(jobs.c.seq).limit(MANY)
                for (created_at,) in await connection.execute(oldest):
                    waits[lane].append(max((now - created_at).total_seconds(), 0.0))
        return waits

    async def running(self, *, worker: WorkerId | None = None, expired_at: datetime | None = None) -> list[Job]:
        """Running jobs of a worker, or those whose lease ended before an instant."""
        condition = jobs.c.state == JobState.RUNNING
        if worker is not None:
            condition = and_(condition, jobs.c.lease_worker == worker)
        if expired_at is not None:
            condition = and_(condition, jobs.c.lease_expires_at < expired_at)
        async with self._database.read() as connection:
            rows = (await connection.execute(select(jobs).where(condition))).mappings().all()
            return await jobs_of(connection, rows)


def still_suspected(step: int) -> ColumnElement[int]:
    """Losses that still count after a checkpoint: none once the job got further than where the worker ended."""
    return case((jobs.c.lost_step < step, 0), else_=jobs.c.num_losses)


def _is_checkpoint(job: JobId, step: int) -> ColumnElement[bool]:
    return and_(checkpoints.c.job == job, checkpoints.c.step == step)
