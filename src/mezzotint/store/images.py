"""Rows of pictures."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, String, bindparam, func, or_, select

from mezzotint.domain.ids import OwnerId, Sha256, TenantId
from mezzotint.domain.job import Image
from mezzotint.store.database import Database
from mezzotint.store.rows import image_of, newest_of_owners
from mezzotint.store.safety.takedown_tables import blocklist
from mezzotint.store.schema import images, jobs

ESCAPE = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A picture in somebody's history. `seq` is its place in the order."""

    seq: int
    image: Image
    raw_prompt: str
    owner: OwnerId


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryShape:
    """The properties of a question that decide its SQL. num_owners: None for everybody's."""

    num_owners: int | None
    num_words: int
    is_continued: bool
    limit: int


@lru_cache(maxsize=128)
def history_query(shape: HistoryShape) -> Select[Any]:
    """The pictures of one shape of question; to build it anew takes as long as to read the rows."""
    query = select(images.c.seq).where(images.c.tenant == bindparam("tenant"))
    if shape.num_words:
        query = query.join(jobs, jobs.c.id == images.c.job)
    if shape.is_continued:
        query = query.where(images.c.seq < bindparam("before"))
    for number in range(shape.num_words):
        query = query.where(func.lower(jobs.c.raw_prompt).like(bindparam(f"word_{number}"), escape=ESCAPE))
    num_owners = shape.num_owners
    owners = (
        None if num_owners is None else [bindparam(f"owner_{number}", type_=String) for number in range(num_owners)]
    )
    newest = newest_of_owners(query, images, shape.limit, owners)
    found = select(images, jobs.c.raw_prompt).join(jobs, jobs.c.id == images.c.job).where(images.c.seq.in_(newest))
    return found.order_by(images.c.seq.desc())


def escape_like(word: str) -> str:
    """The word as a pattern of LIKE that stands for itself."""
    for special in (ESCAPE, "%", "_"):
        word = word.replace(special, ESCAPE + special)
    return word


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
        shape = HistoryShape(
            num_owners=None if owners is None else len(owners),
            num_words=len(words),
            is_continued=before is not None,
            limit=limit,
        )
        given: dict[str, Any] = {"tenant": tenant} if before is None else {"tenant": tenant, "before": before}
        given |= {f"owner_{n}": owner for n, owner in enumerate(owners or ())}
        given |= {f"word_{n}": f"%{escape_like(word.lower())}%" for n, word in enumerate(words)}
        async with self._database.read() as connection:
            rows = (await connection.execute(history_query(shape), given)).mappings().all()
        return [
            Entry(seq=row["seq"], image=image_of(row), raw_prompt=row["raw_prompt"], owner=OwnerId(row["owner"]))
            for row in rows
        ]

    async def published_at(self, content: Sha256) -> datetime | None:
        """The instant at which the hash first named a picture that passed the filter; None: it names none that may be
        shown."""
        is_listed = select(blocklist.c.seq).where(blocklist.c.content == content).exists()
        query = select(images.c.created_at).where(or_(images.c.png == content, images.c.webp == content), ~is_listed)
        async with self._database.read() as connection:
            first: datetime | None = await connection.scalar(query.order_by(images.c.seq).limit(1))
            return first
