"""The log of changes of state, written in the transaction that makes them; webhooks' deliveries are born here too."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import RowMapping, delete, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.change import Change
from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.job import JobState
from mezzotint.store.database import Database
from mezzotint.store.schema import changes, deliveries, jobs, webhooks

MOST = 100
"""Of one job, replayed at once. A job that was preempted oftener has lost nothing by the first of them."""


async def record(connection: AsyncConnection, ids: Sequence[JobId], at: datetime) -> None:
    """Log the state that the jobs' rows have now. The caller has just written them, so nobody else does meanwhile."""
    number = select(func.coalesce(func.max(changes.c.number), 0) + 1).where(changes.c.job == jobs.c.id)
    now = select(jobs.c.id, number.scalar_subquery(), jobs.c.state, jobs.c.step, literal(at, changes.c.at.type)).where(
        jobs.c.id.in_(ids)
    )
    await connection.execute(insert(changes).from_select(["job", "number", "state", "step", "at"], now))


async def record_end(connection: AsyncConnection, ids: Sequence[JobId], at: datetime) -> None:
    """The same of jobs that ended; their tenants' webhooks are to be told."""
    await record(connection, ids, at)
    due = (
        select(webhooks.c.id, jobs.c.id, jobs.c.state, literal(0), literal(at, deliveries.c.next_at.type))
        .join(jobs, jobs.c.tenant == webhooks.c.tenant)
        .where(jobs.c.id.in_(ids), webhooks.c.disabled_at.is_(None))
    )
    await connection.execute(insert(deliveries).from_select(["webhook", "job", "state", "attempts", "next_at"], due))


class Changes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_job(self, job: JobId, after: int) -> list[Change]:
        """The job's changes after a number, oldest first, at most the last `MOST`."""
        query = select(changes).where(changes.c.job == job, changes.c.number > after)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(changes.c.number.desc()).limit(MOST))
            return [change_of(row) for row in reversed(rows.mappings().all())]

    async def since(self, tenant: TenantId, at: datetime, limit: int) -> list[tuple[JobId, Change]]:
        """The changes of a tenant's jobs from an instant on, oldest first."""
        query = (
            select(changes)
            .join(jobs, jobs.c.id == changes.c.job)
            .where(jobs.c.tenant == tenant, changes.c.at >= at)
            .order_by(changes.c.at, changes.c.job, changes.c.number)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [(JobId(row["job"]), change_of(row)) for row in (await connection.execute(query)).mappings()]

    async def versions(self, ids: list[JobId]) -> dict[JobId, tuple[str, int]]:
        """Of jobs that are watched: state and lease, by which a change is seen without reading the whole row."""
        query = select(jobs.c.id, jobs.c.state, jobs.c.lease_token).where(jobs.c.id.in_(ids))
        async with self._database.read() as connection:
            return {JobId(id): (state, token) for id, state, token in await connection.execute(query)}

    async def sweep(self, before: datetime) -> int:
        """Forget the changes of long ago: nobody comes back to a stream after days. Returns how many."""
        async with self._database.write() as connection:
            return int((await connection.execute(delete(changes).where(changes.c.at < before))).rowcount)


def change_of(row: RowMapping) -> Change:
    return Change(number=row["number"], state=JobState(row["state"]), step=row["step"], at=row["at"])
