"""The log of changes of state, written in the transaction that makes them; webhooks' deliveries are born here too."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import RowMapping, delete, func, literal, or_, select

from mezzotint.domain.change import Change
from mezzotint.domain.ids import OF_TENANT, JobId, OwnerId, TenantId
from mezzotint.domain.job import JobState
from mezzotint.store.bulk_write import Insert, Row, Statement
from mezzotint.store.database import Database
from mezzotint.store.schema import changes, deliveries, jobs, webhooks

MOST = 100
"""Changes of one job that are replayed at once. A job that was preempted oftener has lost nothing by the first of
them."""


SAID = {"job": jobs.c.id.type, "state": changes.c.state.type, "at": changes.c.at.type}
COLUMNS = ("job", "number", "state", "step", "at")


def _log_new(row: Row, insert: Insert) -> object:
    return insert(changes).from_select(COLUMNS, select(row["job"], literal(1), row["state"], literal(0), row["at"]))


def _log_change(row: Row, insert: Insert) -> object:
    """The transaction holds the lock of the job's row, so no other takes the number meanwhile."""
    number = select(func.coalesce(func.max(changes.c.number), 0) + 1).where(changes.c.job == jobs.c.id)
    line = select(jobs.c.id, number.scalar_subquery(), row["state"], jobs.c.step, row["at"])
    return insert(changes).from_select(COLUMNS, line.where(jobs.c.id == row["job"]))


def _add_deliveries(row: Row, insert: Insert) -> object:
    due = select(webhooks.c.id, jobs.c.id, row["state"], literal(0), row["at"])
    due = due.join_from(jobs, webhooks, jobs.c.tenant == webhooks.c.tenant)
    is_told = or_(webhooks.c.owner == jobs.c.owner, webhooks.c.owner == OF_TENANT, jobs.c.owner == OF_TENANT)
    due = due.where(jobs.c.id == row["job"], webhooks.c.disabled_at.is_(None), is_told)
    return insert(deliveries).from_select(["webhook", "job", "state", "attempts", "next_at"], due)


LOG_NEW = Statement(name="first", values=SAID, make=_log_new)
"""The log begins with a new job."""
LOG_CHANGE = Statement(name="next", values=SAID, make=_log_change)
"""A job's state changed; it lies as far as its row says."""
ADD_DELIVERIES = Statement(name="told", values=SAID, make=_add_deliveries)
"""The webhooks of the job's owner are to be told, and those of the whole tenant."""


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
