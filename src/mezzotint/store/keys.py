"""Rows of API keys, found by their visible prefix, checked by their hash."""

import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Select, insert, or_, select, update

from mezzotint.domain.claims import Claims, Scope, Via
from mezzotint.domain.ids import KeyId, TenantId
from mezzotint.domain.key import MARK, Key, prefix_of
from mezzotint.domain.tier import Tier
from mezzotint.store.database import Database
from mezzotint.store.digest import digest
from mezzotint.store.schema import keys, tenants

SEEN_EVERY = timedelta(minutes=1)
"""`last_used_at` is written no oftener: a key in use costs no write a request."""


class Keys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, tenant: TenantId, name: str, scopes: frozenset[Scope], now: datetime, expires_at: datetime | None
    ) -> tuple[Key, str]:
        """A new key and its secret, which can be read this once."""
        secret, prefix = drawn()
        key = Key(
            id=KeyId(f"key_{secrets.token_hex(8)}"),
            tenant=tenant,
            name=name,
            prefix=prefix,
            scopes=scopes,
            created_at=now,
            expires_at=expires_at,
        )
        row = {"id": key.id, "tenant": tenant, "name": name, "prefix": prefix, "digest": digest(secret)}
        times = {"created_at": now, "expires_at": expires_at}
        async with self._database.write() as connection:
            await connection.execute(insert(keys).values(**row, **times, scopes=" ".join(sorted(scopes))))
        return key, secret

    async def of_tenant(self, tenant: TenantId | None = None) -> list[Key]:
        """The keys of a tenant, or all, oldest first."""
        query = select(keys).order_by(keys.c.created_at, keys.c.id)
        if tenant is not None:
            query = query.where(keys.c.tenant == tenant)
        async with self._database.read() as connection:
            return [key_of(row) for row in (await connection.execute(query)).mappings()]

    async def rotate(
        self, key: KeyId, tenant: TenantId | None, now: datetime, grace: timedelta
    ) -> tuple[Key, str] | None:
        """A new secret; the old one works for `grace` longer. None when there is no such valid key (of the tenant)."""
        secret, prefix = drawn()
        async with self._database.write() as connection:
            row = (await connection.execute(_one(key, tenant))).mappings().first()
            if row is None or not key_of(row).is_valid(now):
                return None
            old = {"old_prefix": row["prefix"], "old_digest": row["digest"], "old_until": now + grace}
            changed = {"prefix": prefix, "digest": digest(secret), **old}
            await connection.execute(update(keys).where(keys.c.id == key).values(changed))
            row = (await connection.execute(_one(key, tenant))).mappings().one()
        return key_of(row), secret

    async def revoke(self, key: KeyId, tenant: TenantId | None, now: datetime) -> bool:
        """End a key at once, its old secret too. Returns whether there is such a key (of the tenant)."""
        mine = keys.c.id.in_(_one(key, tenant).with_only_columns(keys.c.id))
        async with self._database.write() as connection:
            found = (await connection.execute(_one(key, tenant))).first() is not None
            await connection.execute(update(keys).where(mine, keys.c.revoked_at.is_(None)).values(revoked_at=now))
        return found

    async def read(self, secret: str, now: datetime) -> Claims | None:
        """Who the key speaks for; None when it is unknown, over or revoked, or its tenant is disabled."""
        prefix = prefix_of(secret)
        if prefix is None:
            return None
        query = (
            select(keys, tenants.c.tier)
            .join(tenants, tenants.c.id == keys.c.tenant)
            .where(or_(keys.c.prefix == prefix, keys.c.old_prefix == prefix), tenants.c.disabled_at.is_(None))
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None or not key_of(row).is_valid(now) or not _matches(row, prefix, secret, now):
            return None
        await self._seen(row, now)
        return Claims(
            tenant=TenantId(row["tenant"]),
            tier=Tier(row["tier"]),
            expires_at=row["expires_at"],
            scopes=_scopes(row),
            via=Via.KEY,
        )

    async def _seen(self, row: RowMapping, now: datetime) -> None:
        if row["last_used_at"] is None or now - row["last_used_at"] > SEEN_EVERY:
            async with self._database.write() as connection:
                await connection.execute(update(keys).where(keys.c.id == row["id"]).values(last_used_at=now))


def drawn() -> tuple[str, str]:
    """A new secret and its prefix."""
    prefix = MARK + secrets.token_hex(6)
    return f"{prefix}_{secrets.token_urlsafe(32)}", prefix


def _one(key: KeyId, tenant: TenantId | None) -> Select[Any]:
    query = select(keys).where(keys.c.id == key)
    return query if tenant is None else query.where(keys.c.tenant == tenant)


def _matches(row: RowMapping, prefix: str, secret: str, now: datetime) -> bool:
    if row["prefix"] == prefix:
        return hmac.compare_digest(row["digest"], digest(secret))
    return now < row["old_until"] and hmac.compare_digest(row["old_digest"], digest(secret))


def _scopes(row: RowMapping) -> frozenset[Scope]:
    return frozenset(Scope(scope) for scope in row["scopes"].split())


def key_of(row: RowMapping) -> Key:
    return Key(
        id=KeyId(row["id"]),
        tenant=TenantId(row["tenant"]),
        name=row["name"],
        prefix=row["prefix"],
        scopes=_scopes(row),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
