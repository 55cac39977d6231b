"""Pictures that a job may begin with: those of a tenant's history, and those it uploaded."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Row, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import OF_TENANT, OwnerId, Sha256, TenantId
from mezzotint.domain.job import OPEN
from mezzotint.domain.task import Source
from mezzotint.store.database import Database, insert_on
from mezzotint.store.schema import images, jobs, uploads

UNBOUNDED = 2**62


class Uploads:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, tenant: TenantId, name: str, now: datetime, owners: Collection[OwnerId] | None = None
    ) -> Source | None:
        """The tenant's picture of that hash, or the first of that job. An upload counts as used now.

        owners: whose in the tenant; None: everybody's.
        """
        if drawn := await self._drawn(tenant, name, owners):
            return drawn
        mine = update(uploads).where(_is_owned_by(tenant, name, owners)).values(used_at=now)
        async with self._database.write() as connection:
            found = await connection.execute(mine.returning(uploads.c.width, uploads.c.height))
            row = found.first()
        return None if row is None else Source(content=Sha256(name), width=row.width, height=row.height)

    async def keep(
        self,
        tenant: TenantId,
        picture: Source,
        now: datetime,
        most: int,
        most_bytes: int = UNBOUNDED,
        *,
        owner: OwnerId = OF_TENANT,
    ) -> bool:
        """Keep an upload, once for its owner. Returns False when the tenant keeps `most` others already.

        most_bytes: what the tenant's uploads may have with it, those that came with requests included.
        """
        async with self._database.write() as connection:
            await self._database.lock(connection, f"uploads of {tenant}")
            others = await _others(connection, tenant, owner, picture)
            if others.num_kept >= most or others.num_bytes + picture.num_bytes > most_bytes:
                return False
            await _write(connection, (tenant, owner), picture, now, is_kept=True)
            return True

    async def take(
        self,
        tenant: TenantId,
        picture: Source,
        now: datetime,
        most_bytes: int = UNBOUNDED,
        *,
        owner: OwnerId = OF_TENANT,
    ) -> bool:
        """Take an upload that came with a request, once for its owner. It stays kept where they keep it.

        Returns False when the tenant's uploads would have more than `most_bytes` with it.
        """
        async with self._database.write() as connection:
            await self._database.lock(connection, f"uploads of {tenant}")
            if (await _others(connection, tenant, owner, picture)).num_bytes + picture.num_bytes > most_bytes:
                return False
            await _write(connection, (tenant, owner), picture, now, is_kept=False)
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
            needed = await _list_needed(connection, jobs.c.tenant == tenant) if old else set()
        old = [content for content in old if content not in needed]
        return await self._drop(old, mine & ~uploads.c.is_kept & (uploads.c.used_at < before)) if old else []

    async def drop(self, tenant: TenantId, content: Sha256, owners: Collection[OwnerId]) -> list[Sha256] | None:
        """Drop the uploads of these owners unless an open job begins with them; None then.

        A job of somebody else in the tenant counts where it has no other upload to begin with. Returns the content
        where nobody's row names it any more.
        """
        others = select(uploads.c.seq).where(_is_owned_by(tenant, content, None), uploads.c.owner.not_in(owners))
        async with self._database.read() as connection:
            needed_by = [jobs.c.tenant == tenant]
            if (await connection.execute(others.limit(1))).first() is not None:
                needed_by.append(jobs.c.owner.in_(owners))
            if content in await _list_needed(connection, *needed_by):
                return None
        return await self._drop([content], _is_owned_by(tenant, content, owners))

    async def find_unused(self, before: datetime) -> list[Sha256]:
        """Uploads last used before an instant that no open job begins with."""
        async with self._database.read() as connection:
            needed = await _list_needed(connection)
            old = select(uploads.c.content).where(uploads.c.used_at < before).distinct()
            return [Sha256(content) for content in (await connection.execute(old)).scalars() if content not in needed]

    async def forget(self, contents: Sequence[Sha256], before: datetime) -> list[Sha256]:
        """Drop the rows not used since. Returns those whose bytes nobody's row names any more."""
        return await self._drop(contents, uploads.c.used_at < before)

    async def is_named(self, content: Sha256) -> bool:
        """Say whether anybody's row names the upload."""
        async with self._database.read() as connection:
            named = select(uploads.c.seq).where(uploads.c.content == content).limit(1)
            return (await connection.execute(named)).first() is not None

    async def _drop(self, contents: Sequence[Sha256], where: ColumnElement[bool]) -> list[Sha256]:
        among = uploads.c.content.in_(contents)
        async with self._database.write() as connection:
            await connection.execute(delete(uploads).where(among, where))
            left = set((await connection.execute(select(uploads.c.content).where(among))).scalars())
        return [content for content in contents if content not in left]

    async def _drawn(self, tenant: TenantId, name: str, owners: Collection[OwnerId] | None) -> Source | None:
        is_named = or_(images.c.png == name, images.c.webp == name, (images.c.job == name) & (images.c.position == 0))
        query = (
            select(images.c.png, images.c.width, images.c.height).where(images.c.tenant == tenant, is_named).limit(1)
        )
        if owners is not None:
            query = query.where(images.c.owner.in_(owners))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else Source(content=Sha256(row.png), width=row.width, height=row.height)

    async def owners_of(self, tenant: TenantId, name: str) -> list[OwnerId]:
        """The owners in the tenant that have an upload of that hash."""
        query = select(uploads.c.owner).where(_is_owned_by(tenant, name, None)).order_by(uploads.c.owner)
        async with self._database.read() as connection:
            return [OwnerId(owner) for owner in (await connection.execute(query)).scalars()]


def _is_owned_by(tenant: TenantId, content: str, owners: Collection[OwnerId] | None) -> ColumnElement[bool]:
    named = (uploads.c.tenant == tenant) & (uploads.c.content == content)
    return named if owners is None else named & uploads.c.owner.in_(owners)


async def _others(
    connection: AsyncConnection, tenant: TenantId, owner: OwnerId, picture: Source
) -> Row[tuple[int, int]]:
    """num_kept, num_bytes: of the tenant's uploads but that one."""
    query = select(
        func.count().filter(uploads.c.is_kept).label("num_kept"),
        func.coalesce(func.sum(uploads.c.num_bytes), 0).label("num_bytes"),
    )
    is_other = (uploads.c.content != picture.content) | (uploads.c.owner != owner)
    others = query.where(uploads.c.tenant == tenant, is_other)
    return (await connection.execute(others)).one()


async def _write(
    connection: AsyncConnection, whose: tuple[TenantId, OwnerId], picture: Source, now: datetime, *, is_kept: bool
) -> None:
    tenant, owner = whose
    new = insert_on(connection, uploads)
    values = {"used_at": now} | ({"is_kept": True} if is_kept else {})
    query = new.on_conflict_do_update(index_elements=["tenant", "content", "owner"], set_=values)
    row = {"content": picture.content, "width": picture.width, "height": picture.height, "is_kept": is_kept}
    row["num_bytes"] = picture.num_bytes
    await connection.execute(query.values(tenant=tenant, owner=owner, used_at=now, **row))


async def _list_needed(connection: AsyncConnection, *whose: ColumnElement[bool]) -> set[str]:
    """The contents that open jobs begin with."""
    parts = [jobs.c.parameters[name].as_string() for name in ("source", "mask")]
    query = select(*parts).where(*whose, jobs.c.state.in_(OPEN), or_(*(part.is_not(None) for part in parts)))
    return {content for row in await connection.execute(query) for content in row if content}
