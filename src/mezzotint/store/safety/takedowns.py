"""Rows of takedowns. A step of one is a transaction under its named lock: several processes may work on it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Table, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import JobId, OwnerId, TakedownId, TenantId
from mezzotint.domain.job import OPEN
from mezzotint.domain.safety.takedown import (
    TAKEDOWN_TRANSITIONS,
    UNDER_WAY,
    BlockedPicture,
    PictureSelection,
    StoredPicture,
    Takedown,
    TakedownPhase,
    WithdrawnPicture,
)
from mezzotint.policy.safety.audit import AuditAction, AuditEntry, SafetyChange
from mezzotint.store.database import Database
from mezzotint.store.images import ESCAPE, escape_like
from mezzotint.store.safety.audit import write_audit
from mezzotint.store.safety.takedown_rows import (
    digest_of,
    document_of_selection,
    drawn_picture_of,
    takedown_of,
    uploaded_picture_of,
    withdrawn_picture_of,
)
from mezzotint.store.safety.takedown_tables import blocklist, takedowns, withdrawn
from mezzotint.store.safety.withdrawals import (
    Withdrawal,
    forget_rows,
    list_contents,
    list_pictures,
    restore_pictures,
    select_by_bytes,
    withdraw_pictures,
)
from mezzotint.store.schema import images, jobs, uploads


class OpenJob(NamedTuple):
    """A job that has not ended."""

    id: JobId
    prompt: str
    negative_prompt: str


ENDED = (TakedownPhase.UNDOING, TakedownPhase.UNDONE)


class Takedowns:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, takedown: Takedown) -> Takedown:
        """Write a takedown, and block the hashes that it names unless a tenant, prompt or time narrows it.

        One of the same selection that was not undone is returned instead, and nothing written.
        """
        digest = digest_of(takedown.selection)
        same = select(takedowns).where(takedowns.c.digest == digest, takedowns.c.phase.not_in(ENDED))
        values = {name: getattr(takedown, name) for name in Takedown.__slots__ if name != "selection"}
        values |= {"selection": document_of_selection(takedown.selection), "digest": digest}
        async with self._database.write() as connection:
            await self._database.lock(connection, f"takedown of {digest}")
            newest = same.order_by(takedowns.c.seq.desc()).limit(1)
            present = (await connection.execute(newest)).mappings().first()
            if present is not None and not await self._has_more(connection, takedown_of(present), takedown):
                return takedown_of(present)
            await connection.execute(insert(takedowns).values(values))
            change = SafetyChange(author=takedown.made_by, reason=takedown.reason, at=takedown.created_at)
            entry = AuditEntry(
                change=change,
                action=AuditAction.TAKEN_DOWN,
                subject=takedown.id,
                before=None,
                after={"selection": document_of_selection(takedown.selection), "ends_at": takedown.ends_at.isoformat()},
            )
            await write_audit(self._database, connection, entry)
            if not takedown.selection.blocks_what_it_names:
                return takedown
            await list_contents(connection, takedown.id, takedown.selection.contents)
            near = [BlockedPicture(pixels="", pdq=pdq, quality=100) for pdq in takedown.selection.near]
            await list_pictures(connection, takedown.id, near)
        return takedown

    async def _has_more(self, connection: AsyncConnection, present: Takedown, new: Takedown) -> bool:
        """Say whether pictures came meanwhile that the selection may take too."""
        if present.phase is TakedownPhase.WITHDRAWING:
            return False
        newer = _drawn(new.selection, present.last_seq, new.last_seq, 1)
        older = _drawn(new.selection, 0, present.last_seq, 1)
        is_exact = not (new.selection.near or new.selection.categories)
        found = (await connection.execute(newer)).first() or (is_exact and (await connection.execute(older)).first())
        return bool(found)

    async def get(self, id: TakedownId) -> Takedown | None:
        return next(iter(await self._read(select(takedowns).where(takedowns.c.id == id))), None)

    async def page(self, limit: int, before: int | None = None) -> list[tuple[int, Takedown]]:
        """The newest first, each with its place in the order."""
        query = select(takedowns).order_by(takedowns.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(takedowns.c.seq < before)
        async with self._database.read() as connection:
            return [(row["seq"], takedown_of(row)) for row in (await connection.execute(query)).mappings()]

    async def under_way(self) -> list[Takedown]:
        """Takedowns that a process has work with, oldest first."""
        return await self._read(select(takedowns).where(takedowns.c.phase.in_(UNDER_WAY)).order_by(takedowns.c.seq))

    async def over(self, now: datetime) -> list[Takedown]:
        """Takedowns that cannot be undone any more and still have bytes in quarantine."""
        is_over = takedowns.c.phase.in_([TakedownPhase.DONE]) & (takedowns.c.ends_at <= now)
        return await self._read(select(takedowns).where(is_over))

    async def newest_picture(self) -> int:
        async with self._database.read() as connection:
            return int(await connection.scalar(select(func.max(images.c.seq))) or 0)

    async def drawn(self, selection: PictureSelection, after: int, last: int, limit: int) -> list[StoredPicture]:
        """Drawn pictures in their order that meet what SQL can ask; perceptual hashes and categories are not looked
        at."""
        async with self._database.read() as connection:
            rows = (await connection.execute(_drawn(selection, after, last, limit))).mappings().all()
        return [drawn_picture_of(row) for row in rows]

    async def count_drawn(self, selection: PictureSelection, after: int, last: int) -> int:
        """Count the pictures that `drawn` gives in all."""
        every = _drawn(selection, after, last, None).order_by(None).subquery()
        async with self._database.read() as connection:
            return int((await connection.execute(select(func.count()).select_from(every))).scalar_one())

    async def list_uploads(self, selection: PictureSelection, after: int, limit: int) -> list[StoredPicture]:
        """Uploads in their order; none where the selection looks at prompts or names jobs alone."""
        if selection.is_of_prompts or (selection.jobs and not (selection.contents or selection.near)):
            return []
        query = select(uploads).where(uploads.c.seq > after, *_match_uploads(selection))
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(uploads.c.seq).limit(limit))).mappings().all()
        return [uploaded_picture_of(row) for row in rows]

    async def with_same_bytes(self, contents: Collection[str], limit: int) -> list[StoredPicture]:
        """Drawn pictures and uploads that have one of the hashes."""
        drawn = _with_prompts().where(images.c.seq.in_(select_by_bytes(contents))).limit(limit)
        uploaded = select(uploads).where(uploads.c.content.in_(contents)).limit(limit)
        async with self._database.read() as connection:
            found = [drawn_picture_of(row) for row in (await connection.execute(drawn)).mappings()]
            return found + [uploaded_picture_of(row) for row in (await connection.execute(uploaded)).mappings()]

    async def withdraw(
        self, takedown: Takedown, pictures: Sequence[StoredPicture], at: datetime, *, cursor: int, num_seen: int
    ) -> Withdrawal | None:
        """Withdraw pictures and note how far the takedown has looked; None where another process did this step."""
        async with self._database.write() as connection:
            await self._database.lock(connection, f"takedown {takedown.id}")
            is_same = (takedowns.c.cursor == takedown.cursor) & (takedowns.c.phase == takedown.phase)
            present = select(takedowns.c.seq).where(takedowns.c.id == takedown.id, is_same)
            if (await connection.execute(present)).first() is None:
                return None
            gone = await withdraw_pictures(connection, takedown.id, pictures, at)
            column = takedowns.c
            values = {
                "cursor": cursor,
                "num_seen": column.num_seen + num_seen,
                "num_pictures": column.num_pictures + gone.num_pictures,
                "num_uploads": column.num_uploads + gone.num_uploads,
            }
            await connection.execute(update(takedowns).where(column.id == takedown.id).values(values))
            return gone

    async def advance(self, takedown: Takedown, phase: TakedownPhase, *, failure: str | None = None) -> bool:
        """Bring a takedown to its next phase, its cursor at the begin. Returns False where it has left the old one."""
        async with self._database.write() as connection:
            await self._database.lock(connection, f"takedown {takedown.id}")
            has_changed = await _change_phase(connection, takedown, phase, failure=failure)
            if has_changed and phase is TakedownPhase.ERASED:
                await forget_rows(connection, takedown.id)
            return has_changed

    async def begin_undo(self, takedown: Takedown, change: SafetyChange) -> bool:
        """Let a takedown be undone. Its hashes leave the blocklist first, so that what comes back may stay."""
        async with self._database.write() as connection:
            await self._database.lock(connection, f"takedown {takedown.id}")
            values = {"undone_at": change.at, "undone_by": change.author}
            if not await _change_phase(connection, takedown, TakedownPhase.UNDOING, **values):
                return False
            await connection.execute(delete(blocklist).where(blocklist.c.takedown == takedown.id))
            numbers = {"pictures": takedown.num_pictures, "uploads": takedown.num_uploads}
            entry = AuditEntry(
                change=change,
                action=AuditAction.TAKEDOWN_UNDONE,
                subject=takedown.id,
                before={"phase": takedown.phase, **numbers},
                after={"phase": TakedownPhase.UNDOING},
            )
            await write_audit(self._database, connection, entry)
            return True

    async def note_purge(self, takedown: Takedown, **values: Any) -> None:
        """Write how the order to purge caches went: cursor, attempts, next_at, failure."""
        where = (takedowns.c.id == takedown.id) & (takedowns.c.phase == TakedownPhase.PURGING)
        async with self._database.write() as connection:
            await connection.execute(update(takedowns).where(where).values(values))

    async def withdrawn(
        self, id: TakedownId, limit: int, *, after: int = 0, is_moved: bool | None = None
    ) -> list[WithdrawnPicture]:
        """The rows that the takedown took, in order. is_moved: only where the bytes are, or are not, in quarantine."""
        query = select(withdrawn).where(withdrawn.c.takedown == id, withdrawn.c.seq > after)
        if is_moved is not None:
            query = query.where(withdrawn.c.is_moved == is_moved)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(withdrawn.c.seq).limit(limit))).mappings()
            return [withdrawn_picture_of(row) for row in rows]

    async def mark_moved(
        self, id: TakedownId, seqs: Collection[int], num_bytes: int, pictures: Collection[BlockedPicture]
    ) -> None:
        """The bytes are in quarantine. pictures: go on the blocklist."""
        async with self._database.write() as connection:
            await self._database.lock(connection, f"takedown {id}")
            these = withdrawn.c.seq.in_(seqs) & ~withdrawn.c.is_moved
            moved = await connection.execute(update(withdrawn).where(these).values(is_moved=True))
            counted = {"num_moved": takedowns.c.num_moved + moved.rowcount}
            counted["num_bytes"] = takedowns.c.num_bytes + num_bytes
            await connection.execute(update(takedowns).where(takedowns.c.id == id).values(counted))
            await list_pictures(connection, id, pictures)

    async def restore(self, takedown: Takedown, seqs: Collection[int], at: datetime) -> list[JobId]:
        """Put withdrawn rows back whose bytes are back. Returns the jobs that have succeeded again."""
        async with self._database.write() as connection:
            await self._database.lock(connection, f"takedown {takedown.id}")
            which = select(withdrawn).where(withdrawn.c.seq.in_(seqs), withdrawn.c.row.is_not(None))
            rows = (await connection.execute(which.order_by(withdrawn.c.seq))).mappings().all()
            return await restore_pictures(connection, rows, at) if rows else []

    async def late_arrivals(self, limit: int) -> list[tuple[TakedownId, StoredPicture]]:
        """Pictures and uploads that are there although their bytes are on the blocklist, each with its takedown."""
        listed = select(blocklist.c.takedown, blocklist.c.content).where(blocklist.c.content.is_not(None)).subquery()
        query = _with_prompts().add_columns(listed.c.takedown)
        drawn = [query.join(listed, column == listed.c.content) for column in (images.c.png, images.c.webp)]
        uploaded = select(uploads, listed.c.takedown).join(listed, uploads.c.content == listed.c.content)
        found: dict[tuple[str, int], tuple[TakedownId, StoredPicture]] = {}
        async with self._database.read() as connection:
            for part in drawn:
                for row in (await connection.execute(part.limit(limit))).mappings():
                    found["drawn", row["seq"]] = (TakedownId(row["takedown"]), drawn_picture_of(row))
            for row in (await connection.execute(uploaded.limit(limit))).mappings():
                found["uploaded", row["seq"]] = (TakedownId(row["takedown"]), uploaded_picture_of(row))
        return list(found.values())

    async def open_jobs_from(self, contents: Collection[str]) -> list[JobId]:
        """Jobs that have not ended and begin with one of the pictures."""
        parts = [jobs.c.parameters[name].as_string() for name in ("source", "mask")]
        begins = or_(*(part.in_(contents) for part in parts))
        async with self._database.read() as connection:
            found = await connection.execute(select(jobs.c.id).where(jobs.c.state.in_(OPEN), begins))
            return [JobId(id) for id in found.scalars()]

    async def open_jobs_of(self, selection: PictureSelection) -> list[OpenJob]:
        """Jobs that the selection names, that have not ended and meet what SQL can ask."""
        prompts = jobs.c.raw_prompt, jobs.c.parameters["negative_prompt"].as_string().label("negative_prompt")
        query = select(jobs.c.id, *prompts).where(jobs.c.id.in_(selection.jobs), jobs.c.state.in_(OPEN))
        async with self._database.read() as connection:
            found = await connection.execute(query.where(*_match(selection, jobs)))
            return [OpenJob(JobId(row.id), row.raw_prompt, row.negative_prompt or "") for row in found]

    async def owners_of_withdrawn(self, content: str) -> list[tuple[TenantId, OwnerId]]:
        """Tenants whose pictures with that hash were taken down."""
        named = or_(withdrawn.c.png == content, withdrawn.c.webp == content)
        query = select(withdrawn.c.tenant, withdrawn.c.owner).where(named).distinct()
        async with self._database.read() as connection:
            return [(TenantId(tenant), OwnerId(owner)) for tenant, owner in await connection.execute(query)]

    async def is_listed(self, contents: Collection[str]) -> bool:
        """Say whether one of the files' hashes is on the blocklist."""
        query = select(blocklist.c.seq).where(blocklist.c.content.in_(contents)).limit(1)
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def blocklist_version(self) -> tuple[int, int]:
        """Changes whenever the blocklist does: rows are added and deleted, never changed."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(func.count(), func.max(blocklist.c.seq)).select_from(blocklist))
            ).one()
        return int(row[0]), int(row[1] or 0)

    async def blocked_pictures(self) -> list[BlockedPicture]:
        """The pictures of the blocklist."""
        query = select(blocklist.c.pixels, blocklist.c.pdq, blocklist.c.quality).where(blocklist.c.pdq.is_not(None))
        async with self._database.read() as connection:
            rows = (await connection.execute(query.distinct())).all()
        return [BlockedPicture(pixels=pixels, pdq=pdq, quality=quality) for pixels, pdq, quality in rows]

    async def _read(self, query: Select[Any]) -> list[Takedown]:
        async with self._database.read() as connection:
            return [takedown_of(row) for row in (await connection.execute(query)).mappings()]


async def _change_phase(connection: AsyncConnection, takedown: Takedown, phase: TakedownPhase, **values: Any) -> bool:
    assert phase in TAKEDOWN_TRANSITIONS[takedown.phase], "no such transition"
    same = (takedowns.c.id == takedown.id) & (takedowns.c.phase == takedown.phase)
    new = {"phase": phase, "cursor": 0, "next_at": None, **values}
    return bool((await connection.execute(update(takedowns).where(same).values(new))).rowcount)


def _with_prompts() -> Select[Any]:
    of_job = jobs.c.raw_prompt, jobs.c.parameters, jobs.c.tier, jobs.c.screening
    return select(images, *of_job).join(jobs, jobs.c.id == images.c.job)


def _drawn(selection: PictureSelection, after: int, last: int, limit: int | None) -> Select[Any]:
    query = _with_prompts().where(images.c.seq > after, images.c.seq <= last)
    named: list[ColumnElement[bool]] = []
    if selection.contents:
        named.append(images.c.seq.in_(select_by_bytes(selection.contents)))
    if selection.jobs:
        named.append(images.c.seq.in_(select(images.c.seq).where(images.c.job.in_(selection.jobs))))
    if named and not selection.near:  # a near one need not be named otherwise
        query = query.where(or_(*named))
    return query.where(*_match(selection, images)).order_by(images.c.seq).limit(limit)


def _match(selection: PictureSelection, table: Table) -> list[ColumnElement[bool]]:
    """The conditions on the owner, the time and the words. table: of the pictures, or of their jobs."""
    where: list[ColumnElement[bool]] = []
    if selection.tenant is not None:
        where.append(table.c.tenant == selection.tenant)
    if selection.since is not None:
        where.append(table.c.created_at >= selection.since)
    if selection.until is not None:
        where.append(table.c.created_at < selection.until)
    for word in selection.words:
        where.append(func.lower(jobs.c.raw_prompt).like(f"%{escape_like(word.lower())}%", escape=ESCAPE))
    return where


def _match_uploads(selection: PictureSelection) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if selection.contents and not selection.near:
        where.append(uploads.c.content.in_(selection.contents))
    if selection.tenant is not None:
        where.append(uploads.c.tenant == selection.tenant)
    if selection.since is not None:
        where.append(uploads.c.used_at >= selection.since)
    if selection.until is not None:
        where.append(uploads.c.used_at < selection.until)
    return where
