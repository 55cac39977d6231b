"""Rows that tenants leave behind at no cost to them are deleted here, a bounded number in one transaction.

Jobs that ran are kept, with their pictures and their line in the ledger: they are bounded by what the devices can draw.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, or_, select

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.job import OPEN, JobState
from mezzotint.policy.retention import Retention
from mezzotint.store.database import Database
from mezzotint.store.refusals import Refusals
from mezzotint.store.schema import changes, jobs, keys, previews, sessions

AT_ONCE = 500
"""Jobs of one transaction, during which no other writer of SQLite comes in."""
UNSTARTED = and_(jobs.c.state.in_([JobState.CANCELLED, JobState.EXPIRED]), jobs.c.lease_token == 0)
"""Ended before any worker took them: they have no checkpoints, no pictures and no line in the ledger."""


class RetentionSweep:
    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention
        self._refusals = Refusals(database, retention)

    async def sweep(self, now: datetime) -> int:
        """Delete what is beyond the bounds. Returns how many rows. Raises: StorageUnavailable."""
        num_gone = await self._refusals.sweep(now)
        num_gone += await self._drop_jobs(and_(UNSTARTED, jobs.c.finished_at < self._retention.oldest_unstarted(now)))
        crowded = select(jobs.c.tenant).where(UNSTARTED).group_by(jobs.c.tenant)
        async with self._database.read() as connection:
            found = await connection.execute(crowded.having(func.count() > self._retention.max_unstarted))
            tenants = [TenantId(tenant) for tenant in found.scalars()]
        for tenant in tenants:
            of_tenant = and_(UNSTARTED, jobs.c.tenant == tenant)
            newest_first = select(jobs.c.seq).where(of_tenant).order_by(jobs.c.seq.desc())
            async with self._database.read() as connection:
                first = await connection.execute(newest_first.offset(self._retention.max_unstarted).limit(1))
                oldest_kept = first.scalar() or 0
            num_gone += await self._drop_jobs(and_(of_tenant, jobs.c.seq <= oldest_kept))
        is_open = select(jobs.c.id).where(jobs.c.id == previews.c.job, jobs.c.state.in_(OPEN)).exists()
        before = self._retention.oldest_ended_key(now)
        for over in (
            delete(previews).where(~is_open),  # the worker of a cancelled job may write one after its last was deleted
            delete(sessions).where(sessions.c.expires_at <= now),
            delete(keys).where(or_(keys.c.revoked_at < before, keys.c.expires_at < before)),
        ):
            async with self._database.write() as connection:
                num_gone += int((await connection.execute(over)).rowcount)
        return num_gone

    async def _drop_jobs(self, which: ColumnElement[bool]) -> int:
        num_gone, found = 0, [JobId("")]
        while found:
            async with self._database.write() as connection:
                some = select(jobs.c.id).where(which).limit(AT_ONCE)
                found = [JobId(id) for id in (await connection.execute(some)).scalars()]
                await connection.execute(delete(changes).where(changes.c.job.in_(found)))
                await connection.execute(delete(jobs).where(jobs.c.id.in_(found)))
            num_gone += len(found)
        return num_gone
