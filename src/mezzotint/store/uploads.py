"""Pictures that a job may begin with: those of a tenant's history, and those it uploaded."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Row, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import Sha256, TenantId
from mezzotint.domain.job import OPEN
from mezzotint.domain.task import Source
from mezzotint.store.database import Database, insert_on
from mezzotint.store.schema import images, jobs, uploads

UNBOUNDED = 2**62


class Uploads:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: TenantId, name: str, now: datetime) -> Source | None:
        """The tenant's picture of that hash, or the first of that job. An upload counts as used now."""
        return await self._drawn(tenant, name) or await self._used(tenant, name, now)

    async def keep(
        self, tenant: TenantId, picture: Source, now: datetime, most: int, most_bytes: int = UNBOUNDED
    ) -> bool:
        """Keep an upload, once. Returns False when the tenant keeps `most` others already.

        most_bytes: what the tenant's uploads may have with it, those that came with requests included.
        """
        async with self._database.write() as connection:
            await self._database.lock(connection, f"uploads of {tenant}")
            others = await _others(connection, tenant, picture)
            if others.num_kept >= most or others.num_bytes + picture.num_bytes > most_bytes:
                return False
            await _write(connection, tenant, picture, now, is_kept=True)
            return True

    async def take(self, tenant: TenantId, picture: Source, now: datetime, most_bytes: int = UNBOUNDED) -> bool:
        """Take an upload that came with a request, once. It stays kept where the tenant keeps it.

        Returns False when the tenant's uploads would have more than `most_bytes` with it.
        """
        async with self._database.write() as connection:
            await self._database.lock(connection, f"uploads of {tenant}")
            if (await _others(connection, tenant, picture)).num_bytes + picture.num_bytes > most_bytes:
                return False
            await _write(connection, tenant, picture, now, is_kept=False)
            return True

    async def make_room(
        self, tenant: TenantId, most: int, before: datetime, most_bytes: int = UNBOUNDED
    ) -> list[Sha256]:
        """Drop the rows of the tenant's uploads that came with requests, beyond the `most` last used.

        Also those with which all its uploads have more than `most_bytes`. Not those used since an instant, nor those
        that an open job of the tenant begins with. Returns those whose bytes nobody's row names any more.
        """
        mine = uploads.c.tenant == tenant
        newest_first = select(uploads).where(mine, ~uploads.c.is_kept).order_by(uploads.c.used_at.desc())
        kept = select(func.coalesce(func.sum(uploads.c.num_bytes), 0)).where(mine, uploads.c.is_kept)
        async with self._database.read() as connection:
            num_bytes = int((await connection.execute(kept)).scalar_one())
            old: list[Sha256] = []
            for number, row in enumerate((await connection.execute(newest_first)).mappings()):
                num_bytes += row["num_bytes"]
                if (number >= most or num_bytes > most_bytes) and row["used_at"] < before:
                    old.append(Sha256(row["content"]))
            needed = await _needed(connection, jobs.c.tenant == tenant) if old else set()
        old = [content for content in old if content not in needed]
        return await self._drop(old, mine & ~uploads.c.is_kept & (uploads.c.used_at < before)) if old else []

    async def drop(self, tenant: TenantId, content: Sha256) -> list[Sha256] | None:
        """Drop the tenant's upload unless an open job begins with it; None then.

        Returns its content where nobody's row names it any more.
        """
        async with self._database.read() as connection:
            if content in await _needed(connection, jobs.c.tenant == tenant):
                return None
        return await self._drop([content], _mine(tenant, content))

    async def find_unused(self, before: datetime) -> list[Sha256]:
        """Uploads last used before an instant that no open job begins with."""
        async with self._database.read() as connection:
            needed = await _needed(connection)
            old = select(uploads.c.content).where(uploads.c.used_at < before).distinct()
            return [Sha256(content) for content in (await connection.execute(old)).scalars() if content not in needed]

    async def forget(self, contents: Sequence[Sha256], before: datetime) -> list[Sha256]:
        """Drop the rows not used since. Returns those whose bytes nobody's row names any more."""
        return await self._drop(contents, uploads.c.used_at < before)

    async def is_named(self, content: Sha256) -> bool:
        """Whether anybody's row names the upload."""
        async with self._database.read() as connection:
            named = select(uploads.c.seq).where(uploads.c.content == content).limit(1)
            return (await connection.execute(named)).first() is not None

    async def _drop(self, contents: Sequence[Sha256], where: ColumnElement[bool]) -> list[Sha256]:
        among = uploads.c.content.in_(contents)
        async with self._database.write() as connection:
            await connection.execute(delete(uploads).where(among, where))
            left = set((await connection.execute(select(uploads.c.content).where(among))).scalars())
        return [content for content in contents if content not in left]

    async def _drawn(self, tenant: TenantId, name: str) -> Source | None:
        is_named = or_(images.c.png == name, images.c.webp == name, (images.c.job == name) & (images.c.position == 0))
        query = (
            select(images.c.png, images.c.width, images.c.height).where(images.c.tenant == tenant, is_named).limit(1)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else Source(content=Sha256(row.png), width=row.width, height=row.height)

    async def get_upload(self, tenant: TenantId, name: str) -> Source | None:
        """The tenant's upload of that hash."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(uploads).where(_mine(tenant, name)))).mappings().first()
        return None if row is None else Source(content=Sha256(name), width=row["width"], height=row["height"])

    async def _used(self, tenant: TenantId, name: str, now: datetime) -> Source | None:
        mine = update(uploads).where(_mine(tenant, name)).values(used_at=now)
        async with self._database.write() as connection:
            found = await connection.execute(mine.returning(uploads.c.width, uploads.c.height))
            row = found.first()
        return None if row is None else Source(content=Sha256(name), width=row.width, height=row.height)


def _mine(tenant: TenantId, content: str) -> ColumnElement[bool]:
    return (uploads.c.tenant == tenant) & (uploads.c.content == content)


async def _others(connection: AsyncConnection, tenant: TenantId, picture: Source) -> Row[tuple[int, int]]:
    """num_kept, num_bytes: of the tenant's uploads but that one."""
    query = select(
        func.count().filter(uploads.c.is_kept).label("num_kept"),
        func.coalesce(func.sum(uploads.c.num_bytes), 0).label("num_bytes"),
    )
    others = query.where(uploads.c.tenant == tenant, uploads.c.content != picture.content)
    return (await connection.execute(others)).one()


async def _write(
    connection: AsyncConnection, tenant: TenantId, picture: Source, now: datetime, *, is_kept: bool
) -> None:
    new = insert_on(connection, uploads)
    values = {"used_at": now} | ({"is_kept": True} if is_kept else {})
    query = new.on_conflict_do_update(index_elements=["tenant", "content"], set_=values)
    row = {"content": picture.content, "width": picture.width, "height": picture.height, "is_kept": is_kept}
    row["num_bytes"] = picture.num_bytes
    await connection.execute(query.values(tenant=tenant, used_at=now, **row))


async def _needed(connection: AsyncConnection, *whose: ColumnElement[bool]) -> set[str]:
    """The contents that open jobs begin with."""
    parts = [jobs.c.parameters[name].as_string() for name in ("source", "mask")]
    query = select(*parts).where(*whose, jobs.c.state.in_(OPEN), or_(*(part.is_not(None) for part in parts)))
    return {content for row in await connection.execute(query) for content in row if content}
