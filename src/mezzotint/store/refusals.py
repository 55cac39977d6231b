"""Rows of refused prompts, kept for audit: a bounded number a tenant, each of bounded length, for a bounded time."""

from datetime import datetime

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import Refusal
from mezzotint.policy.retention import Retention
from mezzotint.store.database import Database
from mezzotint.store.schema import refusals


class Refusals:
    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention

    async def record(self, tenant: TenantId, refusal: Refusal, raw_prompt: str, at: datetime) -> None:
        """Keep a refused prompt, and drop the tenant's oldest ones beyond the bound. It never becomes a job."""
        if not self._retention.max_refusals:
            return
        row = {"tenant": tenant, "code": refusal.code, "message": refusal.message, "created_at": at}
        row["raw_prompt"] = self._retention.shorten(raw_prompt)
        async with self._database.write() as connection:
            await connection.execute(insert(refusals).values(**row))
            await self._drop_beyond(connection, tenant)

    async def sweep(self, now: datetime) -> int:
        """Delete those of long ago, and what an earlier, higher bound left. Returns how many."""
        most = self._retention.max_refusals
        mine = select(refusals.c.tenant).group_by(refusals.c.tenant).having(func.count() > most)
        async with self._database.read() as connection:
            tenants = (await connection.execute(mine)).scalars().all()
        old = refusals.c.created_at < self._retention.oldest_refusal(now)
        async with self._database.write() as connection:
            num_gone = int((await connection.execute(delete(refusals).where(old))).rowcount)
            return num_gone + sum([await self._drop_beyond(connection, tenant) for tenant in tenants])

    async def _drop_beyond(self, connection: AsyncConnection, tenant: TenantId) -> int:
        mine = refusals.c.tenant == tenant
        newest_first = select(refusals.c.seq).where(mine).order_by(refusals.c.seq.desc())
        first_beyond = newest_first.offset(self._retention.max_refusals).limit(1).scalar_subquery()
        found = await connection.execute(delete(refusals).where(mine, refusals.c.seq <= first_beyond))
        return int(found.rowcount)
