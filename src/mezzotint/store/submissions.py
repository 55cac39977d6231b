"""Rows of requests that must not be carried out twice. The primary key decides between two that come together."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Table, and_, case, delete, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.job import OPEN
from mezzotint.domain.submission import Once, Submission
from mezzotint.store.database import INSERTS, Database
from mezzotint.store.schema import submissions

DELIVERED_LIFETIME = timedelta(seconds=10)
"""A retry may follow an answer that was sent whole so long: it can be lost between a proxy and the client. OpenAI's
clients wait at most 8 s before they retry."""


class Submissions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: TenantId, once: Once, now: datetime) -> Submission | None:
        """The jobs that the tenant's earlier request of that name made; None when there was none or its time is
        over."""
        mine = and_(submissions.c.tenant == tenant, submissions.c.name == once.name, submissions.c.expires_at > now)
        async with self._database.read() as connection:
            row = (await connection.execute(select(submissions).where(mine))).mappings().first()
        return None if row is None else _to_submission(row)

    async def take_cut_try(self, tenant: TenantId, once: Once, now: datetime) -> Submission | None:
        """The try that the retry `once` repeats, taken so that no other retry of the same count is given it.

        Of several cut tries of one content it is the one that was retried most, since its next retry has that count.
        Tries whose answers were delivered come last: their time ends within `DELIVERED_LIFETIME`.
        """
        column = submissions.c
        wanted = and_(
            column.tenant == tenant,
            column.name.startswith(once.series, autoescape=True),
            column.expires_at > now,
            column.num_retries < once.num_retries,
        )
        is_delivered = case((column.expires_at <= now + DELIVERED_LIFETIME, 1), else_=0)
        likeliest = (is_delivered, column.num_retries.desc(), column.created_at)
        first = select(submissions).where(wanted).order_by(*likeliest).limit(1)
        async with self._database.write() as connection:
            row = (await connection.execute(first.with_for_update())).mappings().first()
            if row is None:
                return None
            mine = and_(column.tenant == tenant, column.name == row["name"])
            await connection.execute(update(submissions).where(mine).values(num_retries=once.num_retries))
        return _to_submission(row)

    async def mark_delivered(self, tenant: TenantId, name: str, now: datetime) -> None:
        """Let a retry find the try only as long as its answer may still be on its way."""
        mine = and_(submissions.c.tenant == tenant, submissions.c.name == name)
        values = {"expires_at": now + DELIVERED_LIFETIME}
        async with self._database.write(is_one=True) as connection:
            await connection.execute(update(submissions).where(mine).values(values))

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


def _to_submission(row: RowMapping) -> Submission:
    return Submission(name=row["name"], body=row["body"], jobs=tuple(JobId(job) for job in row["jobs"]))


Named = tuple[TenantId, Once, tuple[JobId, ...], datetime]
"""A request's owner, its name, its jobs, and its instant."""


NUM_OPEN: Any = literal_column(
    "(SELECT count(*) FROM jobs WHERE jobs.tenant = submissions.tenant AND jobs.state IN ({}))".format(
        ", ".join(f"'{state}'" for state in OPEN)
    )
).label("num_open")
"""Open jobs of the row's tenant, as text: SQLAlchemy leaves out the names of tables in what a statement returns."""


def _remember(insert: Callable[[Table], Any]) -> Any:
    new = insert(submissions)
    over = submissions.c.expires_at <= new.excluded.created_at
    values = {name: new.excluded[name] for name in ("body", "jobs", "created_at", "expires_at", "num_retries")}
    query = new.on_conflict_do_update(index_elements=["tenant", "name"], set_=values, where=over)
    return query.returning(submissions.c.tenant, submissions.c.name, NUM_OPEN)


REMEMBER = {dialect: _remember(insert) for dialect, insert in INSERTS.items()}


async def remember(connection: AsyncConnection, requests: Sequence[Named]) -> dict[tuple[TenantId, str], int]:
    """Part of the transaction that writes the jobs, before it does. requests: of different names.

    Returns tenant and name of those that were not taken before, each with the tenant's open jobs: to count them in a
    statement of its own would be one more way to the database and back.
    """
    if not requests:
        return {}
    rows = [
        {"tenant": tenant, "name": once.name, "body": once.body, "jobs": list(jobs), "created_at": now}
        | {"expires_at": once.expires_at, "num_retries": once.num_retries}
        for tenant, once, jobs, now in requests
    ]
    found = await connection.execute(REMEMBER[connection.dialect.name], rows)
    return {(TenantId(tenant), name): num_open for tenant, name, num_open in found}


async def withdraw(connection: AsyncConnection, requests: Sequence[tuple[TenantId, Once]]) -> None:
    """Take back what `remember` wrote in this transaction, of requests that are not carried out after all."""
    for tenant, once in requests:
        mine = and_(submissions.c.tenant == tenant, submissions.c.name == once.name)
        await connection.execute(delete(submissions).where(mine))
