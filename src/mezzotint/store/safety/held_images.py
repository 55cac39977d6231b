"""Pictures that are not delivered: those that wait for a review, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from mezzotint.domain.errors import ImageBlocked
from mezzotint.domain.ids import JobId, OwnerId, TenantId
from mezzotint.domain.job import Image, JobError, JobState
from mezzotint.domain.safety.held_image import HeldImage, HeldState
from mezzotint.policy.safety.audit import AuditAction, AuditEntry, SafetyChange
from mezzotint.store.database import Database
from mezzotint.store.queue.transitions import JobChange, lock_jobs, transition
from mezzotint.store.rows import fields_of
from mezzotint.store.safety.audit import write_audit
from mezzotint.store.schema import held_images, images, jobs

MANY = 200
"""Most rows that one sweep changes; the rest follows at the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldEntry:
    """A held picture with its place in the order, and whose it is."""

    seq: int
    image: HeldImage
    tenant: TenantId
    owner: OwnerId


class HeldImages:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, limit: int, before: int | None, state: HeldState) -> list[HeldEntry]:
        """Held pictures in a state, newest first."""
        query = select(held_images).where(held_images.c.state == state).order_by(held_images.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(held_images.c.seq < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_entry_of(row) for row in rows]

    async def of_job(self, job: JobId) -> list[HeldEntry]:
        query = select(held_images).where(held_images.c.job == job).order_by(held_images.c.position)
        async with self._database.read() as connection:
            return [_entry_of(row) for row in (await connection.execute(query)).mappings()]

    async def record_view(self, image: HeldImage, change: SafetyChange) -> None:
        """Write the audit row of somebody who looks at a picture that is not delivered."""
        subject = f"{image.job}/{image.position}"
        entry = AuditEntry(change=change, action=AuditAction.PICTURE_VIEWED, subject=subject, before=None, after=None)
        async with self._database.write() as connection:
            await write_audit(self._database, connection, entry)

    async def release(self, job: JobId, pictures: Sequence[Image], change: SafetyChange) -> bool:
        """Deliver a job's pictures: it has succeeded now. False, and nothing written, when they wait for no review."""
        return await self._decide(job, HeldState.RELEASED, pictures, change)

    async def deny(self, job: JobId, change: SafetyChange) -> bool:
        """Block a job's pictures for good. False, and nothing written, when they wait for no review."""
        return await self._decide(job, HeldState.DENIED, (), change)

    async def _decide(self, job: JobId, state: HeldState, pictures: Sequence[Image], change: SafetyChange) -> bool:
        waiting = (held_images.c.job == job) & (held_images.c.state == HeldState.REVIEW)
        decided = {"state": state, "decided_at": change.at, "decided_by": change.author}
        async with self._database.write() as connection:
            locked = await lock_jobs(connection, (jobs.c.id == job) & (jobs.c.state == JobState.BLOCKED))
            if not locked:
                return False
            found = await connection.execute(update(held_images).where(waiting).values(decided))
            if not found.rowcount:
                return False
            if state is HeldState.RELEASED:
                whose = {"tenant": locked[0]["tenant"], "owner": locked[0]["owner"]}
                await connection.execute(insert(images), [{**whose, **fields_of(picture)} for picture in pictures])
                values: dict[str, Any] = {"state": JobState.SUCCEEDED, "error": None}
                await transition(connection, [JobChange(row=locked[0], at=change.at, values=values)])
            else:
                message = "An operator looked at the finished picture and did not release it."
                denied = JobError.of(ImageBlocked.of_job(job, message))
                await connection.execute(update(jobs).where(jobs.c.id == job).values(error=fields_of(denied)))
            action = AuditAction.PICTURE_RELEASED if state is HeldState.RELEASED else AuditAction.PICTURE_DENIED
            entry = AuditEntry(
                change=change, action=action, subject=job, before={"state": HeldState.REVIEW}, after={"state": state}
            )
            await write_audit(self._database, connection, entry)
        return True

    async def find_due(self, state: HeldState, before: datetime) -> list[HeldEntry]:
        """Held pictures in a state from before an instant whose originals are kept."""
        query = select(held_images).where(held_images.c.state == state, held_images.c.created_at < before)
        query = query.where(held_images.c.key.is_not(None)).order_by(held_images.c.seq).limit(MANY)
        async with self._database.read() as connection:
            return [_entry_of(row) for row in (await connection.execute(query)).mappings()]

    async def forget_originals(self, job: JobId) -> None:
        """Say that a job's originals are no longer kept."""
        async with self._database.write() as connection:
            await connection.execute(update(held_images).where(held_images.c.job == job).values(key=None))


def _entry_of(row: RowMapping) -> HeldEntry:
    fields = {name: row[name] for name in HeldImage.__slots__}
    image = HeldImage(**{**fields, "job": JobId(row["job"]), "state": HeldState(row["state"])})
    return HeldEntry(seq=row["seq"], image=image, tenant=TenantId(row["tenant"]), owner=OwnerId(row["owner"]))
