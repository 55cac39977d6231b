"""Rows of hard rules and tightenings. Each change writes its audit row in the same transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, or_, select, update

from mezzotint.policy.safety.audit import AuditAction, AuditEntry, SafetyChange
from mezzotint.policy.safety.categories import SafetyCategory
from mezzotint.policy.safety.dial import Tightening
from mezzotint.policy.safety.hard_rules import MAX_RULES, HardRule
from mezzotint.policy.safety.overrides import SafetyOverrides
from mezzotint.store.database import Database
from mezzotint.store.safety.audit import LOCK, read_version, write_audit
from mezzotint.store.safety.tables import hard_rules, tightenings

MAX_TIGHTENINGS = 100
"""Tightenings in force at once."""


class Overrides:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        """The number of the latest change; 0 before the first."""
        async with self._database.read() as connection:
            return await read_version(connection)

    async def in_force(self, now: datetime) -> SafetyOverrides:
        """All that is in force, or will be, oldest first."""
        async with self._database.read() as connection:
            # before the rows: a change that comes between the statements is read again at the next look
            version = await read_version(connection)
            rules = await connection.execute(
                select(hard_rules).where(_is_in_force(now)).order_by(hard_rules.c.created_at, hard_rules.c.id)
            )
            found = await connection.execute(
                select(tightenings)
                .where(tightenings.c.ends_at > now)
                .order_by(tightenings.c.starts_at, tightenings.c.id)
            )
            return SafetyOverrides(
                version=version,
                rules=tuple(rule_of(row) for row in rules.mappings()),
                tightenings=tuple(tightening_of(row) for row in found.mappings()),
            )

    async def add_rule(self, rule: HardRule) -> bool:
        """Returns False, and keeps nothing, when `MAX_RULES` are in force."""
        async with self._database.write() as connection:
            await self._database.lock(connection, LOCK)
            count = select(func.count()).select_from(hard_rules).where(_is_in_force(rule.created_at))
            if (await connection.execute(count)).scalar_one() >= MAX_RULES:
                return False
            row = {name: getattr(rule, name) for name in HardRule.__slots__}
            row |= {"all_of": [list(group) for group in rule.all_of], "none_of": list(rule.none_of)}
            await connection.execute(insert(hard_rules).values(row))
            entry = AuditEntry(
                change=SafetyChange(author=rule.author, reason=rule.reason, at=rule.created_at),
                action=AuditAction.RULE_ADDED,
                subject=rule.id,
                before=None,
                after=describe_rule(rule),
            )
            await write_audit(self._database, connection, entry)
        return True

    async def date_rule(self, rule: str, expires_at: datetime | None, change: SafetyChange) -> HardRule | None:
        """Give a rule in force another end. Returns it as it is now; None when no rule of that id is in force."""
        return await self._change_rule(AuditAction.RULE_CHANGED, rule, change, expires_at=expires_at)

    async def remove_rule(self, rule: str, change: SafetyChange) -> HardRule | None:
        """Returns the rule as it is now; None when no rule of that id is in force."""
        return await self._change_rule(AuditAction.RULE_REMOVED, rule, change, removed_at=change.at)

    async def list_rules(self, limit: int, *, with_ended: bool, now: datetime) -> list[HardRule]:
        """Newest first. with_ended: also those that expired or were removed."""
        query = select(hard_rules).order_by(hard_rules.c.created_at.desc(), hard_rules.c.id).limit(limit)
        if not with_ended:
            query = query.where(_is_in_force(now))
        async with self._database.read() as connection:
            return [rule_of(row) for row in (await connection.execute(query)).mappings()]

    async def tighten(self, tightening: Tightening) -> bool:
        """Returns False, and keeps nothing, when `MAX_TIGHTENINGS` are in force."""
        async with self._database.write() as connection:
            await self._database.lock(connection, LOCK)
            in_force = tightenings.c.ends_at > tightening.starts_at
            count = select(func.count()).select_from(tightenings).where(in_force)
            if (await connection.execute(count)).scalar_one() >= MAX_TIGHTENINGS:
                return False
            await connection.execute(
                insert(tightenings).values({name: getattr(tightening, name) for name in Tightening.__slots__})
            )
            entry = AuditEntry(
                change=SafetyChange(author=tightening.author, reason=tightening.reason, at=tightening.starts_at),
                action=AuditAction.TIGHTENED,
                subject=tightening.id,
                before=None,
                after=describe_tightening(tightening),
            )
            await write_audit(self._database, connection, entry)
        return True

    async def end_tightening(self, tightening: str, change: SafetyChange) -> Tightening | None:
        """End it before its time. Returns it as it is now; None when none of that id is in force."""
        mine = (tightenings.c.id == tightening) & (tightenings.c.ends_at > change.at)
        async with self._database.write() as connection:
            await self._database.lock(connection, LOCK)
            row = (await connection.execute(select(tightenings).where(mine))).mappings().first()
            if row is None:
                return None
            changed = await connection.execute(
                update(tightenings).where(mine).values(ends_at=change.at).returning(tightenings)
            )
            after = tightening_of(changed.mappings().one())
            entry = AuditEntry(
                change=change,
                action=AuditAction.TIGHTENING_ENDED,
                subject=after.id,
                before=describe_tightening(tightening_of(row)),
                after=describe_tightening(after),
            )
            await write_audit(self._database, connection, entry)
        return after

    async def _change_rule(
        self, action: AuditAction, rule: str, change: SafetyChange, **values: datetime | None
    ) -> HardRule | None:
        mine = hard_rules.c.id == rule
        async with self._database.write() as connection:
            await self._database.lock(connection, LOCK)
            found = await connection.execute(select(hard_rules).where(mine, _is_in_force(change.at)))
            row = found.mappings().first()
            if row is None:
                return None
            newer = {**values, "version": row["version"] + 1}
            changed = await connection.execute(update(hard_rules).where(mine).values(newer).returning(hard_rules))
            after = rule_of(changed.mappings().one())
            entry = AuditEntry(
                change=change,
                action=action,
                subject=rule,
                before=describe_rule(rule_of(row)),
                after=describe_rule(after),
            )
            await write_audit(self._database, connection, entry)
        return after


def _is_in_force(now: datetime) -> Any:
    return hard_rules.c.removed_at.is_(None) & or_(hard_rules.c.expires_at.is_(None), hard_rules.c.expires_at > now)


def rule_of(row: RowMapping) -> HardRule:
    return HardRule(
        id=row["id"],
        version=row["version"],
        category=SafetyCategory(row["category"]),
        all_of=tuple(tuple(group) for group in row["all_of"]),
        none_of=tuple(row["none_of"]),
        author=row["author"],
        reason=row["reason"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        removed_at=row["removed_at"],
    )


def tightening_of(row: RowMapping) -> Tightening:
    category = row["category"]
    return Tightening(
        id=row["id"],
        category=None if category is None else SafetyCategory(category),
        by=row["by"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        author=row["author"],
        reason=row["reason"],
    )


def describe_rule(rule: HardRule) -> dict[str, Any]:
    """The fields of a rule in its audit row."""
    return {
        "version": rule.version,
        "category": rule.category,
        "all_of": rule.all_of,
        "none_of": rule.none_of,
        "expires_at": rule.expires_at,
        "removed_at": rule.removed_at,
    }


def describe_tightening(tightening: Tightening) -> dict[str, Any]:
    """The fields of a tightening in its audit row."""
    return {
        "category": tightening.category,
        "by": tightening.by,
        "starts_at": tightening.starts_at,
        "ends_at": tightening.ends_at,
    }
