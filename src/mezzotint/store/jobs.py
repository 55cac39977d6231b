"""Rows of jobs. Every change of state is one conditional update; a holder whose lease is gone changes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.ids import JobId, Sha256, TenantId, WorkerId
from mezzotint.domain.job import (
    TRANSITIONS,
    CheckpointRef,
    Ending,
    Image,
    Job,
    JobError,
    JobState,
    Lease,
    Parameters,
    Timings,
)
from mezzotint.domain.refusal import Refusal
from mezzotint.domain.submission import Once
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.lane_share import Choice, Flow
from mezzotint.store.changes import record
from mezzotint.store.database import Database
from mezzotint.store.schema import checkpoints, images, jobs, lanes, refusals
from mezzotint.store.submissions import remember

OPEN = (JobState.QUEUED, JobState.RUNNING)


class Jobs:
    """The jobs of every tenant. Callers check who may see what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, *added: Job, once: Once | None = None) -> bool:
        """Write new jobs, all or none. False, and nothing written, when `once` was taken already."""
        try:
            async with self._database.write() as connection:
                if once is not None:
                    ids, first = tuple(job.id for job in added), added[0]
                    await remember(connection, first.tenant, once, ids, first.created_at)
                await connection.execute(insert(jobs), [_row(job) for job in added])
                for job in added:
                    await record(connection, job.id, job.created_at)
        except IntegrityError:
            if once is None:
                raise
            return False
        return True

    async def record_refusal(self, tenant: TenantId, refusal: Refusal, raw_prompt: str, at: datetime) -> None:
        """Keep a refused prompt for audit: it never becomes a job."""
        row = {"tenant": tenant, "code": refusal.code, "message": refusal.message, "raw_prompt": raw_prompt}
        async with self._database.write() as connection:
            await connection.execute(insert(refusals).values(**row, created_at=at))

    async def get(self, job: JobId) -> Job | None:
        async with self._database.read() as connection:
            return await _get(connection, job)

    async def of_batch(self, batch: JobId) -> list[Job]:
        """The jobs that one request made, in its order."""
        async with self._database.read() as connection:
            query = select(jobs).where(jobs.c.batch == batch).order_by(jobs.c.seq)
            return await _jobs(connection, (await connection.execute(query)).mappings().all())

    async def of_tenant(self, tenant: TenantId, limit: int, before: int | None) -> list[tuple[int, Job]]:
        """The tenant's jobs, newest first, each with its place in the order (the cursor of the next page)."""
        condition = jobs.c.tenant == tenant
        if before is not None:
            condition = and_(condition, jobs.c.seq < before)
        async with self._database.read() as connection:
            query = select(jobs).where(condition).order_by(jobs.c.seq.desc()).limit(limit)
            rows = (await connection.execute(query)).mappings().all()
            return [(row["seq"], job) for row, job in zip(rows, await _jobs(connection, rows), strict=True)]

    async def count_open(self, tenant: TenantId) -> int:
        """How many jobs of the tenant are queued or running."""
        query = select(func.count()).where(jobs.c.tenant == tenant, jobs.c.state.in_(OPEN))
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

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
            return [(row["seq"], job) for row, job in zip(rows, await _jobs(connection, rows), strict=True)]

    async def num_ended_since(self, at: datetime) -> int:
        """How many jobs succeeded since an instant, whoever's they are."""
        query = select(func.count()).where(jobs.c.state == JobState.SUCCEEDED, jobs.c.finished_at >= at)
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def open_of(self, tenant: TenantId) -> list[Job]:
        """The tenant's jobs that are queued or running, oldest first."""
        query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.state.in_(OPEN)).order_by(jobs.c.seq)
        async with self._database.read() as connection:
            return await _jobs(connection, (await connection.execute(query)).mappings().all())

    async def position(self, job: Job) -> int | None:
        """How many queued jobs of its lane are ahead of it; None unless it is queued."""
        if job.state is not JobState.QUEUED:
            return None
        mine = select(jobs.c.seq).where(jobs.c.id == job.id).scalar_subquery()
        query = select(func.count()).where(jobs.c.state == JobState.QUEUED, jobs.c.tier == job.tier, jobs.c.seq < mine)
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def backlog(self) -> list[tuple[Tier, JobState, int, datetime]]:
        """Open jobs by lane and state: how many, and since when the oldest has been there."""
        query = (
            select(jobs.c.tier, jobs.c.state, func.count(), func.min(jobs.c.created_at))
            .where(jobs.c.state.in_(OPEN))
            .group_by(jobs.c.tier, jobs.c.state)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [(Tier(tier), JobState(state), number, oldest) for tier, state, number, oldest in rows]

    async def claim(
        self,
        choose: Callable[[Sequence[Flow], float], Choice | None],
        worker: WorkerId,
        now: datetime,
        lease_s: float,
    ) -> Job | None:
        """Take the job that `choose` picks among the heads of the lanes; None when nothing waits."""
        async with self._database.write() as connection:
            await self._database.lock(connection, "claim")
            tags = {row.lane: row.finish_tag for row in await connection.execute(select(lanes))}
            heads = await _heads(connection)
            flows = [
                Flow(
                    lane=tier,
                    weight=limits_of(tier).weight,
                    finish_tag=tags.get(tier, 0.0),
                    head_cost=row["cost"],
                )
                for tier, row in heads.items()
            ]
            choice = choose(flows, tags.get("virtual", 0.0))
            if choice is None:
                return None
            await _set_tag(connection, choice.lane, choice.finish_tag, known=choice.lane in tags)
            await _set_tag(connection, "virtual", choice.start_tag, known="virtual" in tags)
            row = heads[choice.lane]
            changed = {
                "state": JobState.RUNNING,
                "attempts": row["attempts"] + 1,
                "started_at": row["started_at"] or now,
                "lease_worker": worker,
                "lease_token": row["lease_token"] + 1,
                "lease_expires_at": now + timedelta(seconds=lease_s),
            }
            await connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(changed))
            await record(connection, JobId(row["id"]), now)
            return await _get(connection, JobId(row["id"]))

    async def renew(self, held: dict[JobId, Lease], steps: dict[JobId, int], expires_at: datetime) -> set[JobId]:
        """Extend the leases and write the steps reached. Returns the jobs whose lease is still held."""
        alive: set[JobId] = set()
        async with self._database.write() as connection:
            for job, lease in held.items():
                values: dict[str, Any] = {"lease_expires_at": expires_at}
                if job in steps:
                    values["step"] = steps[job]
                result = await connection.execute(update(jobs).where(_holds(job, lease)).values(values))
                if result.rowcount:
                    alive.add(job)
        return alive

    async def add_checkpoint(
        self, job: JobId, lease: Lease, saved: CheckpointRef, keep: int, at: datetime
    ) -> list[str]:
        """Add a checkpoint; keep the last `keep`. Returns the keys no longer referenced. Raises: LeaseLost."""
        async with self._database.write() as connection:
            result = await connection.execute(
                update(jobs)
                .where(_holds(job, lease))
                .values(attempts=0)  # it got further: not a job that kills workers
            )
            if not result.rowcount:
                raise LeaseLost(f"job {job}: the checkpoint of step {saved.step} came too late")
            await connection.execute(delete(checkpoints).where(_saved(job, saved.step)))
            row = {"job": job, "step": saved.step, "key": saved.key, "created_at": at}
            await connection.execute(insert(checkpoints).values(row))
            query = select(checkpoints).where(checkpoints.c.job == job).order_by(checkpoints.c.step.desc()).offset(keep)
            old = (await connection.execute(query)).mappings().all()
            for gone in old:
                await connection.execute(delete(checkpoints).where(_saved(job, gone["step"])))
            return [gone["key"] for gone in old]

    async def drop_checkpoint(self, job: JobId, step: int) -> None:
        """Forget a checkpoint that cannot be used."""
        async with self._database.write() as connection:
            await connection.execute(delete(checkpoints).where(_saved(job, step)))

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
        """End a running job, with its pictures, once. Raises: LeaseLost."""
        values: dict[str, Any] = {
            "state": ending.state,
            "finished_at": ending.at,
            "timings": asdict(ending.timings),
            "error": asdict(ending.error) if ending.error else None,
            "step": ending.step,
            **NO_LEASE,
        }
        async with self._database.write() as connection:
            result = await connection.execute(update(jobs).where(_holds(job, lease)).values(values))
            if not result.rowcount:
                raise LeaseLost(f"job {job} is no longer held by {lease.worker}")
            tenant = (await connection.execute(select(jobs.c.tenant).where(jobs.c.id == job))).scalar_one()
            for picture in ending.images:
                await connection.execute(insert(images).values(tenant=tenant, **asdict(picture)))
            await record(connection, job, ending.at)
            ended = await _get(connection, job)
        assert ended is not None, "the row was just updated"
        return ended

    async def cancel(self, job: JobId, at: datetime) -> bool:
        """Cancel a job that has not ended. Returns whether it did."""
        allowed = [state for state, to in TRANSITIONS.items() if JobState.CANCELLED in to]
        values = {"state": JobState.CANCELLED, "finished_at": at, **NO_LEASE}
        async with self._database.write() as connection:
            condition = and_(jobs.c.id == job, jobs.c.state.in_(allowed))
            is_cancelled = bool((await connection.execute(update(jobs).where(condition).values(values))).rowcount)
            if is_cancelled:
                await record(connection, job, at)
        return is_cancelled

    async def requeue(self, job: JobId, lease: Lease) -> bool:
        """Give a running job back to the queue with its checkpoints. Returns whether the lease was still held."""
        async with self._database.write() as connection:
            values = {"state": JobState.QUEUED, **NO_LEASE}
            is_back = bool((await connection.execute(update(jobs).where(_holds(job, lease)).values(values))).rowcount)
            if is_back:
                await record(connection, job, datetime.now(UTC))
        return is_back

    async def running(self, *, worker: WorkerId | None = None, expired_at: datetime | None = None) -> list[Job]:
        """Running jobs of a worker, or those whose lease ended before an instant."""
        condition = jobs.c.state == JobState.RUNNING
        if worker is not None:
            condition = and_(condition, jobs.c.lease_worker == worker)
        if expired_at is not None:
            condition = and_(condition, jobs.c.lease_expires_at < expired_at)
        async with self._database.read() as connection:
            rows = (await connection.execute(select(jobs).where(condition))).mappings().all()
            return await _jobs(connection, rows)


NO_LEASE: dict[str, None] = {"lease_worker": None, "lease_expires_at": None}


def _holds(job: JobId, lease: Lease) -> ColumnElement[bool]:
    """The fence: the row is running under this very lease."""
    return and_(jobs.c.id == job, jobs.c.state == JobState.RUNNING, jobs.c.lease_token == lease.token)


def _saved(job: JobId, step: int) -> ColumnElement[bool]:
    return and_(checkpoints.c.job == job, checkpoints.c.step == step)


async def _heads(connection: AsyncConnection) -> dict[Tier, RowMapping]:
    """The first queued job of every lane that has one."""
    heads: dict[Tier, RowMapping] = {}
    for tier in Tier:
        line = and_(jobs.c.state == JobState.QUEUED, jobs.c.tier == tier)
        row = (await connection.execute(select(jobs).where(line).order_by(jobs.c.seq).limit(1))).mappings().first()
        if row is not None:
            heads[tier] = row
    return heads


async def _set_tag(connection: AsyncConnection, lane: str, tag: float, *, known: bool) -> None:
    if known:
        await connection.execute(update(lanes).where(lanes.c.lane == lane).values(finish_tag=tag))
    else:
        await connection.execute(insert(lanes).values(lane=lane, finish_tag=tag))


async def _get(connection: AsyncConnection, job: JobId) -> Job | None:
    rows = (await connection.execute(select(jobs).where(jobs.c.id == job))).mappings().all()
    found = await _jobs(connection, rows)
    return found[0] if found else None


async def _jobs(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[Job]:
    ids = [row["id"] for row in rows]
    pictures: dict[str, list[Image]] = {job: [] for job in ids}
    saved: dict[str, list[CheckpointRef]] = {job: [] for job in ids}
    query = select(images).where(images.c.job.in_(ids)).order_by(images.c.position)
    for picture in (await connection.execute(query)).mappings():
        pictures[picture["job"]].append(image_of(picture))
    query = select(checkpoints).where(checkpoints.c.job.in_(ids)).order_by(checkpoints.c.step.desc())
    for row in (await connection.execute(query)).mappings():
        saved[row["job"]].append(CheckpointRef(step=row["step"], key=row["key"]))
    return [_job(row, pictures[row["id"]], saved[row["id"]]) for row in rows]


def _row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "tenant": job.tenant,
        "tier": job.tier,
        "state": job.state,
        "raw_prompt": job.raw_prompt,
        "parameters": asdict(job.parameters),
        "model": job.model,
        "cost": job.parameters.cost,
        "created_at": job.created_at,
        "timings": asdict(job.timings),
        "batch": job.batch,
    }


def _job(row: RowMapping, pictures: Sequence[Image], saved: Sequence[CheckpointRef]) -> Job:
    lease = None
    if row["lease_worker"] is not None:
        lease = Lease(
            worker=WorkerId(row["lease_worker"]), token=row["lease_token"], expires_at=row["lease_expires_at"]
        )
    return Job(
        id=JobId(row["id"]),
        tenant=TenantId(row["tenant"]),
        tier=Tier(row["tier"]),
        state=JobState(row["state"]),
        raw_prompt=row["raw_prompt"],
        parameters=_parameters(row["parameters"]),
        model=row["model"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        step=row["step"],
        attempts=row["attempts"],
        lease=lease,
        checkpoints=tuple(saved),
        images=tuple(pictures),
        error=JobError(**row["error"]) if row["error"] else None,
        timings=Timings(**row["timings"]),
        batch=JobId(row["batch"]) if row["batch"] else None,
    )


def _parameters(document: dict[str, Any]) -> Parameters:
    return Parameters(**{**document, "task": Task(document.get("task", Task.GENERATE))})


def image_of(row: RowMapping) -> Image:
    return Image(
        job=JobId(row["job"]),
        position=row["position"],
        png=Sha256(row["png"]),
        webp=Sha256(row["webp"]),
        seed=row["seed"],
        width=row["width"],
        height=row["height"],
        created_at=row["created_at"],
    )
