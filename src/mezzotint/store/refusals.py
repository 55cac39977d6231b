"""Rows of refusals, kept for audit: a bounded number a tenant, for a bounded time.

A row has the hash of the prompt, what the refusal rests on, and the text only where the operator wants it kept.
"""

import secrets
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import RowMapping, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import OwnerId, TenantId
from mezzotint.domain.refusal import Refusal, SafetyEvidence
from mezzotint.policy.retention import Retention
from mezzotint.store.database import Database
from mezzotint.store.digest import digest
from mezzotint.store.schema import refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRefusal:
    """text_hash: SHA-256 of the prompt as it was sent, in UTF-8; of an upload, SHA-256 of its file's SHA-256 in
    hexadecimal. prompt: empty where only its hash is kept; cut at its end where it is long.
    """

    id: str
    tenant: TenantId
    owner: OwnerId
    code: str
    message: str
    text_hash: str
    prompt: str
    evidence: SafetyEvidence
    created_at: datetime


class Refusals:
    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention

    async def record(
        self, tenant: TenantId, owner: OwnerId, refusal: Refusal, raw_prompt: str, at: datetime
    ) -> str | None:
        """Keep a refusal, and drop the tenant's oldest ones beyond the bound. Returns its id; None: none is kept."""
        if not self._retention.max_refusals:
            return None
        id = f"ref_{secrets.token_hex(12)}"
        evidence = refusal.evidence or SafetyEvidence(category="")
        row = {
            "id": id,
            "tenant": tenant,
            "owner": owner,
            "code": refusal.code,
            "message": refusal.message,
            "category": evidence.category,
            "text_hash": digest(raw_prompt),
            "evidence": asdict(evidence),
            "raw_prompt": self._retention.shorten(raw_prompt),
            "created_at": at,
        }
        async with self._database.write() as connection:
            await connection.execute(insert(refusals).values(**row))
            await self._drop_beyond(connection, tenant)
        return id

    async def get(self, refusal: str) -> KeptRefusal | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(refusals).where(refusals.c.id == refusal))).mappings().first()
        return None if row is None else refusal_of(row)

    async def page(self, limit: int, before: int | None = None) -> list[tuple[int, KeptRefusal]]:
        """The newest of all tenants with their numbers, those before a number."""
        query = select(refusals).where(refusals.c.id.is_not(None)).order_by(refusals.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(refusals.c.seq < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [(row["seq"], refusal_of(row)) for row in rows]

    async def count(self, code: str, since: datetime) -> int:
        """Count the refusals of one code, of all tenants, since then."""
        wanted = select(func.count()).where(refusals.c.code == code, refusals.c.created_at >= since)
        async with self._database.read() as connection:
            return int((await connection.execute(wanted)).scalar_one())

    async def sweep(self, now: datetime) -> int:
        """Delete those of long ago, and what an earlier, higher bound left. Returns how many."""
        most = self._retention.max_refusals
        mine = select(refusals.c.tenant).group_by(refusals.c.tenant).having(func.count() > most)
        async with self._database.read() as connection:
            tenants = (await connection.execute(mine)).scalars().all()
        old = refusals.c.created_at < self._retention.oldest_refusal(now)
        async with self._database.write() as connection:
            num_gone = int((await connection.execute(delete(refusals).where(old))).rowcount)
            return num_gone + sum([await self._drop_beyond(connection, tenant) for tenant in tenants])

    async def _drop_beyond(self, connection: AsyncConnection, tenant: TenantId) -> int:
        mine = refusals.c.tenant == tenant
        newest_first = select(refusals.c.seq).where(mine).order_by(refusals.c.seq.desc())
        first_beyond = newest_first.offset(self._retention.max_refusals).limit(1).scalar_subquery()
        found = await connection.execute(delete(refusals).where(mine, refusals.c.seq <= first_beyond))
        return int(found.rowcount)


def refusal_of(row: RowMapping) -> KeptRefusal:
    return KeptRefusal(
        id=row["id"],
        tenant=TenantId(row["tenant"]),
        owner=OwnerId(row["owner"]),
        code=row["code"],
        message=row["message"],
        text_hash=row["text_hash"],
        prompt=row["raw_prompt"],
        evidence=SafetyEvidence(**row["evidence"]),
        created_at=row["created_at"],
    )
