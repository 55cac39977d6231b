"""Rows of requests that must not be carried out twice. The primary key decides between two that come together."""

from datetime import datetime

from sqlalchemy import and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.submission import Once, Submission
from mezzotint.store.database import Database
from mezzotint.store.schema import submissions


class Submissions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: TenantId, once: Once, now: datetime) -> Submission | None:
        """What the tenant's earlier request of that name made; None when there was none or its time is over."""
        mine = and_(submissions.c.tenant == tenant, submissions.c.name == once.name, submissions.c.expires_at > now)
        async with self._database.read() as connection:
            row = (await connection.execute(select(submissions).where(mine))).mappings().first()
        return None if row is None else Submission(body=row["body"], jobs=tuple(JobId(job) for job in row["jobs"]))

    async def forget(self, tenant: TenantId, once: Once, jobs: tuple[JobId, ...]) -> None:
        """Let the name be used anew, unless another request has taken it since `jobs` were found under it."""
        mine = and_(submissions.c.tenant == tenant, submissions.c.name == once.name)
        async with self._database.write() as connection:
            row = (await connection.execute(select(submissions.c.jobs).where(mine))).first()
            if row is not None and tuple(row.jobs) == jobs:
                await connection.execute(delete(submissions).where(mine))

    async def sweep(self, now: datetime) -> int:
        """Drop what is over. Returns how many."""
        async with self._database.write() as connection:
            return int((await connection.execute(delete(submissions).where(submissions.c.expires_at <= now))).rowcount)


async def remember(
    connection: AsyncConnection, tenant: TenantId, once: Once, jobs: tuple[JobId, ...], now: datetime
) -> None:
    """Part of the transaction that writes the jobs. Raises: IntegrityError when another request was first."""
    over = and_(submissions.c.tenant == tenant, submissions.c.name == once.name, submissions.c.expires_at <= now)
    await connection.execute(delete(submissions).where(over))
    row = {"tenant": tenant, "name": once.name, "body": once.body, "jobs": list(jobs)}
    await connection.execute(insert(submissions).values(**row, created_at=now, expires_at=once.expires_at))
