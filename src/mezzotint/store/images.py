"""Rows of pictures."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select

from mezzotint.domain.ids import OwnerId, Sha256, TenantId
from mezzotint.domain.job import Image
from mezzotint.store.database import Database
from mezzotint.store.rows import image_of, newest_of_owners
from mezzotint.store.schema import images, jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A picture in somebody's history. `seq` is its place in the order."""

    seq: int
    image: Image
    raw_prompt: str
    owner: OwnerId


class Images:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_tenant(
        self,
        tenant: TenantId,
        limit: int,
        before: int | None,
        words: tuple[str, ...] = (),
        owners: Collection[OwnerId] | None = None,
    ) -> list[Entry]:
        """The tenant's pictures, newest first. words: each stands in the prompt. owners: whose; None: everybody's.

        Case does not matter; beyond ASCII that holds on PostgreSQL only.
        """
        query = select(images.c.seq).where(images.c.tenant == tenant)
        if words:
            query = query.join(jobs, jobs.c.id == images.c.job)
        if before is not None:
            query = query.where(images.c.seq < before)
        for word in words:
            query = query.where(func.lower(jobs.c.raw_prompt).contains(word.lower(), autoescape=True))
        newest = newest_of_owners(query, images, limit, owners)
        found = select(images, jobs.c.raw_prompt).join(jobs, jobs.c.id == images.c.job).where(images.c.seq.in_(newest))
        async with self._database.read() as connection:
            rows = (await connection.execute(found.order_by(images.c.seq.desc()))).mappings().all()
        return [
            Entry(seq=row["seq"], image=image_of(row), raw_prompt=row["raw_prompt"], owner=OwnerId(row["owner"]))
            for row in rows
        ]

    async def published_at(self, content: Sha256) -> datetime | None:
        """When the hash first named a picture that passed the filter; None: it names none."""
        query = select(images.c.created_at).where(or_(images.c.png == content, images.c.webp == content))
        async with self._database.read() as connection:
            first: datetime | None = await connection.scalar(query.order_by(images.c.seq).limit(1))
            return first
