"""Rows of pictures leave `images` and `uploads`, and come back: the parts of a takedown's transactions.

Equal bytes are stored once, so a takedown of one picture takes every picture and upload with the same bytes, whoever's
they are. Rows that left are in no list, and nothing reads a picture's bytes without its row.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, Table, and_, delete, func, insert, or_, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.errors import PictureTakenDown
from mezzotint.domain.ids import JobId, TakedownId
from mezzotint.domain.job import JobError, JobState
from mezzotint.domain.safety.takedown import BlockedPicture, PictureKind, StoredPicture
from mezzotint.store.database import insert_on
from mezzotint.store.queue.transitions import JobChange, lock_jobs, transition
from mezzotint.store.rows import fields_of
from mezzotint.store.safety.takedown_rows import decode_instants, encode_instants
from mezzotint.store.safety.takedown_tables import blocklist, withdrawn
from mezzotint.store.schema import deliveries, images, jobs, uploads

MAX_TOGETHER = 1000
"""Rows of equal bytes that leave in one transaction; more of them follow, hidden meanwhile by the blocklist."""
TAKEN_DOWN = JobError.of(PictureTakenDown("The operators of this server took the picture down."))
TABLES: dict[PictureKind, Table] = {PictureKind.DRAWN: images, PictureKind.UPLOADED: uploads}


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """The rows that left in one transaction, and the jobs that have no picture any more."""

    num_pictures: int
    num_uploads: int
    jobs: tuple[JobId, ...]


def select_by_bytes(contents: Collection[str]) -> Select[Any]:
    """The places of drawn pictures that have one of the hashes. Each part is found by its index."""
    by_png = select(images.c.seq).where(images.c.png.in_(contents))
    return select(union(by_png, select(images.c.seq).where(images.c.webp.in_(contents))).subquery().c.seq)


async def withdraw_pictures(
    connection: AsyncConnection, takedown: TakedownId, pictures: Sequence[StoredPicture], at: datetime
) -> Withdrawal:
    """Take the pictures and all with the same bytes out of their tables, and put their hashes on the blocklist."""
    contents = {content for one in pictures for content in (one.png, one.webp) if content is not None}
    seqs = {one.seq for one in pictures if one.kind is PictureKind.DRAWN}
    with_same = select(images.c.seq, images.c.job).where(
        or_(images.c.seq.in_(seqs), images.c.seq.in_(select_by_bytes(contents)))
    )
    found = (await connection.execute(with_same.order_by(images.c.seq).limit(len(seqs) + MAX_TOGETHER))).all()
    locked = await lock_jobs(connection, jobs.c.id.in_({row.job for row in found}))
    gone = await _remove(connection, images, {row.seq for row in found})
    contents |= {row[name] for row in gone for name in ("png", "webp")}
    named = select(uploads.c.seq).where(uploads.c.content.in_(contents)).limit(MAX_TOGETHER)
    gone_uploads = await _remove(connection, uploads, (await connection.execute(named)).scalars().all())
    rows = [_withdrawn_row(takedown, PictureKind.DRAWN, row, row["png"]) for row in gone]
    rows += [_withdrawn_row(takedown, PictureKind.UPLOADED, row, row["content"]) for row in gone_uploads]
    if rows:
        await connection.execute(insert(withdrawn), rows)
    await list_contents(connection, takedown, contents)
    emptied = await _block_emptied_jobs(connection, locked, at)
    return Withdrawal(num_pictures=len(gone), num_uploads=len(gone_uploads), jobs=tuple(emptied))


async def list_contents(connection: AsyncConnection, takedown: TakedownId, contents: Collection[str]) -> None:
    """Put hashes of files on the blocklist, once for the takedown."""
    known = select(blocklist.c.content).where(blocklist.c.takedown == takedown, blocklist.c.content.in_(contents))
    new = set(contents) - set((await connection.execute(known)).scalars())
    if new:
        rows = [{"takedown": takedown, "content": content} for content in sorted(new)]
        await connection.execute(insert(blocklist), rows)


async def list_pictures(
    connection: AsyncConnection, takedown: TakedownId, pictures: Collection[BlockedPicture]
) -> None:
    """Put pictures on the blocklist, once for the takedown."""
    named = blocklist.c.pdq.in_({one.pdq for one in pictures})
    known = select(blocklist.c.pixels, blocklist.c.pdq).where(blocklist.c.takedown == takedown, named)
    there = {tuple(row) for row in await connection.execute(known)}
    new = {(one.pixels, one.pdq): one for one in pictures if (one.pixels, one.pdq) not in there}
    if new:
        await connection.execute(insert(blocklist), [{"takedown": takedown, **fields_of(one)} for one in new.values()])


async def restore_pictures(connection: AsyncConnection, rows: Sequence[RowMapping], at: datetime) -> list[JobId]:
    """Put rows of `withdrawn` back where they were. Returns the jobs that have succeeded again."""
    drawn = [decode_instants(row["row"]) for row in rows if row["kind"] == PictureKind.DRAWN]
    locked = await lock_jobs(connection, jobs.c.id.in_({row["job"] for row in drawn}))
    there = {row["id"] for row in locked}
    drawn = [row for row in drawn if row["job"] in there]
    for values in drawn:  # one by one: a row that left before a migration has fewer columns
        await connection.execute(insert(images).values(values))
    for row in rows:
        if row["kind"] == PictureKind.UPLOADED:
            back = {name: value for name, value in decode_instants(row["row"]).items() if name != "seq"}
            again = insert_on(connection, uploads).values(back)
            await connection.execute(again.on_conflict_do_nothing(index_elements=["tenant", "content", "owner"]))
    await connection.execute(delete(withdrawn).where(withdrawn.c.seq.in_([row["seq"] for row in rows])))
    blocked = [
        row
        for row in locked
        if row["state"] == JobState.BLOCKED and (row["error"] or {}).get("code") == PictureTakenDown.code
    ]
    values = {"state": JobState.SUCCEEDED, "error": None}
    await transition(connection, [JobChange(row=row, at=at, values=values) for row in blocked])
    return [JobId(row["id"]) for row in blocked]


async def forget_rows(connection: AsyncConnection, takedown: TakedownId) -> None:
    """Keep only what names the withdrawn pictures: they cannot come back."""
    await connection.execute(update(withdrawn).where(withdrawn.c.takedown == takedown).values(row=None))


async def _remove(connection: AsyncConnection, table: Table, seqs: Collection[int]) -> Sequence[RowMapping]:
    """Delete rows. Returns those that were there: another takedown may have been first."""
    gone = await connection.execute(delete(table).where(table.c.seq.in_(seqs)).returning(*table.c))
    return gone.mappings().all()


def _withdrawn_row(takedown: TakedownId, kind: PictureKind, row: RowMapping, png: str) -> dict[str, Any]:
    return {
        "takedown": takedown,
        "kind": kind,
        "tenant": row["tenant"],
        "owner": row["owner"],
        "job": row.get("job"),
        "png": png,
        "webp": row.get("webp"),
        "row": encode_instants(dict(row)),
        "is_moved": False,
    }


async def _block_emptied_jobs(connection: AsyncConnection, locked: Sequence[RowMapping], at: datetime) -> list[JobId]:
    """Turn jobs that succeeded and have no picture left into blocked ones; messages of their success are not sent."""
    ids = [row["id"] for row in locked if row["state"] == JobState.SUCCEEDED]
    left = select(images.c.job).where(images.c.job.in_(ids)).group_by(images.c.job).having(func.count() > 0)
    have_more = set((await connection.execute(left)).scalars())
    emptied = [row for row in locked if row["id"] in set(ids) - have_more]
    unsent = and_(
        deliveries.c.job.in_([row["id"] for row in emptied]),
        deliveries.c.state == JobState.SUCCEEDED,
        deliveries.c.next_at.is_not(None),
    )
    await connection.execute(delete(deliveries).where(unsent))
    values = {"state": JobState.BLOCKED, "error": asdict(TAKEN_DOWN)}
    await transition(connection, [JobChange(row=row, at=at, values=values) for row in emptied])
    return [JobId(row["id"]) for row in emptied]
