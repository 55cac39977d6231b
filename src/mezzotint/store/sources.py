"""Pictures that a job may begin with: those of a tenant's history, and those it uploaded."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, or_, select, update

from mezzotint.domain.ids import Sha256, TenantId
from mezzotint.domain.task import Source
from mezzotint.store.database import Database
from mezzotint.store.jobs import OPEN
from mezzotint.store.schema import images, jobs, uploads


class Sources:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: TenantId, name: str, now: datetime) -> Source | None:
        """The tenant's picture of that hash, or the first of that job. An upload counts as used now."""
        return await self._drawn(tenant, name) or await self._uploaded(tenant, name, now)

    async def add(self, tenant: TenantId, picture: Source, now: datetime, most: int) -> bool:
        """Keep an upload, once. Returns False when the tenant has `most` others already."""
        async with self._database.write() as connection:
            mine = uploads.c.tenant == tenant
            same = mine & (uploads.c.content == picture.content)
            if (await connection.execute(update(uploads).where(same).values(used_at=now))).rowcount:
                return True
            if (await connection.execute(select(func.count()).where(mine))).scalar_one() >= most:
                return False
            row = {"content": picture.content, "width": picture.width, "height": picture.height}
            await connection.execute(insert(uploads).values(tenant=tenant, used_at=now, **row))
            return True

    async def unused(self, before: datetime) -> list[Sha256]:
        """Uploads last used before an instant that no open job begins with."""
        parts = [jobs.c.parameters[name].as_string() for name in ("source", "mask")]
        query = select(*parts).where(jobs.c.state.in_(OPEN), or_(*(part.is_not(None) for part in parts)))
        async with self._database.read() as connection:
            needed = {content for row in await connection.execute(query) for content in row if content}
            old = select(uploads.c.content).where(uploads.c.used_at < before).distinct()
            return [Sha256(content) for content in (await connection.execute(old)).scalars() if content not in needed]

    async def forget(self, contents: Sequence[Sha256], before: datetime) -> list[Sha256]:
        """Drop the rows not used since. Returns those whose bytes nobody's row names any more."""
        async with self._database.write() as connection:
            old = uploads.c.content.in_(contents) & (uploads.c.used_at < before)
            await connection.execute(delete(uploads).where(old))
            others = select(uploads.c.content).where(uploads.c.content.in_(contents))
            left = set((await connection.execute(others)).scalars())
        return [content for content in contents if content not in left]

    async def _drawn(self, tenant: TenantId, name: str) -> Source | None:
        is_named = or_(images.c.png == name, images.c.webp == name, (images.c.job == name) & (images.c.position == 0))
        query = (
            select(images.c.png, images.c.width, images.c.height).where(images.c.tenant == tenant, is_named).limit(1)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else Source(content=Sha256(row.png), width=row.width, height=row.height)

    async def _uploaded(self, tenant: TenantId, name: str, now: datetime) -> Source | None:
        same = (uploads.c.tenant == tenant) & (uploads.c.content == name)
        async with self._database.write() as connection:
            row = (await connection.execute(select(uploads).where(same))).mappings().first()
            if row is None:
                return None
            await connection.execute(update(uploads).where(same).values(used_at=now))
        return Source(content=Sha256(row["content"]), width=row["width"], height=row["height"])
