"""Rows of audits of pictures: how far each is, and what it found."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, update

from mezzotint.domain.ids import AuditId, JobId, Sha256, TenantId
from mezzotint.domain.safety.picture_audit import AuditCriteria, AuditFinding, AuditPhase, FoundIn, PictureAudit
from mezzotint.store.database import Database
from mezzotint.store.rows import fields_of
from mezzotint.store.safety.takedown_rows import decode_instants, encode_instants
from mezzotint.store.safety.takedown_tables import audits, findings

PAGE = 500


class PictureAudits:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, audit: PictureAudit) -> None:
        values = {**fields_of(audit), "criteria": encode_instants(asdict(audit.criteria))}
        async with self._database.write() as connection:
            await connection.execute(insert(audits).values(values))

    async def get(self, id: AuditId) -> PictureAudit | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(audits).where(audits.c.id == id))).mappings().first()
        return None if row is None else audit_of(row)

    async def newest(self, limit: int) -> list[tuple[PictureAudit, int]]:
        """The newest first, each with the number of its findings."""
        number = select(func.count()).where(findings.c.audit == audits.c.id).scalar_subquery().label("num_found")
        async with self._database.read() as connection:
            query = select(audits, number).order_by(audits.c.seq.desc()).limit(limit)
            return [(audit_of(row), row["num_found"]) for row in (await connection.execute(query)).mappings()]

    async def note_page(
        self, audit: PictureAudit, found: Sequence[AuditFinding], *, cursor: int, num_seen: int, num_unread: int
    ) -> bool:
        """Write a page's findings and how far the audit is, in one transaction. False where another process did."""
        same = (audits.c.id == audit.id) & (audits.c.cursor == audit.cursor) & (audits.c.phase == AuditPhase.RUNNING)
        values = {
            "cursor": cursor,
            "num_seen": audits.c.num_seen + num_seen,
            "num_unread": audits.c.num_unread + num_unread,
        }
        async with self._database.write() as connection:
            changed = await connection.execute(update(audits).where(same).values(values))
            if changed.rowcount and found:
                await connection.execute(insert(findings), [{"audit": audit.id, **fields_of(one)} for one in found])
            return bool(changed.rowcount)

    async def finish(self, id: AuditId) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(audits).where(audits.c.id == id).values(phase=AuditPhase.DONE))

    async def findings(self, id: AuditId) -> AsyncGenerator[AuditFinding]:
        """The audit's findings, oldest picture first; read in pages."""
        after = 0
        while True:
            query = select(findings).where(findings.c.audit == id, findings.c.picture > after)
            async with self._database.read() as connection:
                rows = (await connection.execute(query.order_by(findings.c.picture).limit(PAGE))).mappings().all()
            for row in rows:
                yield finding_of(row)
            if len(rows) < PAGE:
                return
            after = rows[-1]["picture"]


def audit_of(row: RowMapping) -> PictureAudit:
    criteria: dict[str, Any] = decode_instants(row["criteria"])
    plain = {name: row[name] for name in PictureAudit.__slots__ if name not in {"id", "phase", "criteria"}}
    return PictureAudit(
        id=AuditId(row["id"]),
        phase=AuditPhase(row["phase"]),
        criteria=AuditCriteria(**{**criteria, "categories": tuple(criteria["categories"])}),
        **plain,
    )


def finding_of(row: RowMapping) -> AuditFinding:
    return AuditFinding(
        picture=row["picture"],
        job=JobId(row["job"]),
        tenant=TenantId(row["tenant"]),
        png=Sha256(row["png"]),
        made_at=row["made_at"],
        found_in=FoundIn(row["found_in"]),
        category=row["category"],
        score=row["score"],
        verdict_before=row["verdict_before"],
        verdict_now=row["verdict_now"],
        score_before=row["score_before"],
    )
