"""The log of changes of state, written in the transaction that makes them; webhooks' deliveries are born here too."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import RowMapping, delete, select

from mezzotint.domain.change import Change
from mezzotint.domain.ids import JobId, OwnerId, TenantId
from mezzotint.domain.job import JobState
from mezzotint.store.bulk_write import Statement
from mezzotint.store.database import Database
from mezzotint.store.schema import changes, jobs

MOST = 100
"""Changes of one job that are replayed at once. A job that was preempted oftener has lost nothing by the first of
them."""


SAID = {"job": jobs.c.id.type, "state": changes.c.state.type, "at": changes.c.at.type}
LOG_NEW = Statement(
    name="log_new",
    values=SAID,
    sql="INSERT INTO changes (job, number, state, step, at) SELECT job, 1, state, 0, at FROM given",
)
LOG_CHANGE = Statement(  # the transaction holds the lock of the job's row, so no other takes the number meanwhile
    name="log_change",
    values=SAID,
    sql="""
    INSERT INTO changes (job, number, state, step, at)
    SELECT jobs.id, (SELECT coalesce(max(number), 0) + 1 FROM changes WHERE changes.job = jobs.id),
           given.state, jobs.step, given.at
    FROM given JOIN jobs ON jobs.id = given.job""",
)
ADD_DELIVERIES = Statement(  # to the webhooks of the job's owner and of the whole tenant
    name="add_deliveries",
    values=SAID,
    sql="""
    INSERT INTO deliveries (webhook, job, state, attempts, next_at)
    SELECT webhooks.id, jobs.id, given.state, 0, given.at
    FROM given JOIN jobs ON jobs.id = given.job JOIN webhooks ON webhooks.tenant = jobs.tenant
    WHERE webhooks.disabled_at IS NULL AND (webhooks.owner IN (jobs.owner, '') OR jobs.owner = '')""",
)


class Changes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_job(self, job: JobId, after: int) -> list[Change]:
        """The job's changes after a number, oldest first, at most the last `MOST`."""
        query = select(changes).where(changes.c.job == job, changes.c.number > after)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(changes.c.number.desc()).limit(MOST))
            return [change_of(row) for row in reversed(rows.mappings().all())]

    async def since(
        self, tenant: TenantId, at: datetime, limit: int, owners: Collection[OwnerId] | None = None
    ) -> list[tuple[JobId, Change]]:
        """The changes of a tenant's jobs from an instant on, oldest first. owners: whose in it; None: everybody's."""
        query = (
            select(changes)
            .join(jobs, jobs.c.id == changes.c.job)
            .where(jobs.c.tenant == tenant, changes.c.at >= at)
            .order_by(changes.c.at, changes.c.job, changes.c.number)
            .limit(limit)
        )
        if owners is not None:
            query = query.where(jobs.c.owner.in_(owners))
        async with self._database.read() as connection:
            return [(JobId(row["job"]), change_of(row)) for row in (await connection.execute(query)).mappings()]

    async def versions(self, ids: list[JobId]) -> dict[JobId, tuple[str, int]]:
        """State and lease of watched jobs, by which a change is seen without reading the whole row."""
        query = select(jobs.c.id, jobs.c.state, jobs.c.lease_token).where(jobs.c.id.in_(ids))
        async with self._database.read() as connection:
            return {JobId(id): (state, token) for id, state, token in await connection.execute(query)}

    async def sweep(self, before: datetime) -> int:
        """Forget the changes of long ago: nobody comes back to a stream after days. Returns how many."""
        async with self._database.write() as connection:
            return int((await connection.execute(delete(changes).where(changes.c.at < before))).rowcount)


def change_of(row: RowMapping) -> Change:
    return Change(number=row["number"], state=JobState(row["state"]), step=row["step"], at=row["at"])
