"""Rows of the safety audit. A change and its row are written in one transaction."""

from collections.abc import Collection

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.policy.safety.audit import CHANGES_OVERRIDES, AuditAction, AuditEntry, SafetyChange
from mezzotint.store.database import Database
from mezzotint.store.safety.tables import safety_audit

LOCK = "safety changes"


async def write_audit(database: Database, connection: AsyncConnection, entry: AuditEntry) -> int:
    """Add a row within the transaction of the change. Returns its number.

    From here on the transactions that write audit rows go one at a time, so that their numbers grow in the order of
    their commits: a reader that has seen a number has seen all smaller ones.
    """
    await database.lock(connection, LOCK)
    row = {
        "at": entry.change.at,
        "author": entry.change.author,
        "action": entry.action,
        "subject": entry.subject,
        "before": None if entry.before is None else dict(entry.before),
        "after": None if entry.after is None else dict(entry.after),
        "reason": entry.change.reason,
    }
    written = await connection.execute(insert(safety_audit).values(row).returning(safety_audit.c.seq))
    return int(written.scalar_one())


async def read_version(connection: AsyncConnection) -> int:
    """The number of the latest change of rules or tightenings; 0 before the first."""
    # one short search of the index of each action
    newest = [
        select(func.max(safety_audit.c.seq)).where(safety_audit.c.action == action).scalar_subquery()
        for action in sorted(CHANGES_OVERRIDES)
    ]
    row = (await connection.execute(select(*newest))).one()
    return max((seq for seq in row if seq is not None), default=0)


class SafetyAudit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entry: AuditEntry) -> None:
        """Add a row for something that changes no other row."""
        async with self._database.write() as connection:
            await write_audit(self._database, connection, entry)

    async def page(
        self, limit: int, before: int | None = None, actions: Collection[AuditAction] = ()
    ) -> list[tuple[int, AuditEntry]]:
        """The newest entries with their numbers, those before a number. actions: only these; none given: all."""
        query = select(safety_audit).order_by(safety_audit.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(safety_audit.c.seq < before)
        if actions:
            query = query.where(safety_audit.c.action.in_(actions))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [(row["seq"], entry_of(row)) for row in rows]


def entry_of(row: RowMapping) -> AuditEntry:
    return AuditEntry(
        change=SafetyChange(author=row["author"], reason=row["reason"], at=row["at"]),
        action=AuditAction(row["action"]),
        subject=row["subject"],
        before=row["before"],
        after=row["after"],
    )
