"""Rows of API keys, found by their visible prefix, checked by their hash."""

import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, func, insert, or_, select, update

from mezzotint.domain.claims import Claims, Role, Scope, Via, scopes_of
from mezzotint.domain.ids import KeyId, TenantId
from mezzotint.domain.key import MARK, Key, KeyRequest, prefix_of
from mezzotint.domain.tenant import Visibility
from mezzotint.domain.tier import Tier
from mezzotint.store.database import Database
from mezzotint.store.digest import digest
from mezzotint.store.schema import keys, tenants, users

SEEN_EVERY = timedelta(minutes=1)
"""`last_used_at` is written no oftener: a key in use costs no write a request."""
PRESENT = (
    select(keys, tenants.c.tier, tenants.c.visibility, users.c.role)
    .join(tenants, tenants.c.id == keys.c.tenant)
    .outerjoin(users, users.c.id == keys.c.user)
    .where(
        or_(*(column.in_(bindparam("prefixes", expanding=True)) for column in (keys.c.prefix, keys.c.old_prefix))),
        tenants.c.disabled_at.is_(None),
        users.c.disabled_at.is_(None),
    )
)
"""Keys whose tenant and user are let in, with what those may do at present."""


class Keys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, wanted: KeyRequest, now: datetime, most: int | None = None) -> tuple[Key, str] | None:
        """A new key and its secret, which can be read this once.

        most: keys that the tenant may have with it, revoked ones included; None, and nothing kept, beyond.
        """
        secret, prefix = draw_secret()
        key = Key(
            id=KeyId(f"key_{secrets.token_hex(8)}"),
            tenant=wanted.tenant,
            user=wanted.user,
            name=wanted.name,
            prefix=prefix,
            scopes=wanted.scopes,
            created_at=now,
            expires_at=wanted.expires_at,
        )
        row = {name: getattr(key, name) for name in ("id", "tenant", "user", "name", "prefix")}
        times = {"created_at": now, "expires_at": key.expires_at}
        mine = select(func.count()).where(keys.c.tenant == key.tenant)
        async with self._database.write() as connection:
            if most is not None:
                await self._database.lock(connection, f"keys of {key.tenant}")
                if (await connection.execute(mine)).scalar_one() >= most:
                    return None
            said = {"digest": digest(secret), "scopes": " ".join(sorted(key.scopes))}
            await connection.execute(insert(keys).values(**row, **times, **said))
        return key, secret

    async def get(self, key: KeyId, tenant: TenantId) -> Key | None:
        async with self._database.read() as connection:
            row = (await connection.execute(_one(key, tenant))).mappings().first()
        return None if row is None else key_of(row)

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
        secret, prefix = draw_secret()
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
        """The claims of the key's owner; None when it is unknown, over or revoked, or its user or tenant is
        disabled."""
        prefix = prefix_of(secret)
        if prefix is None:
            return None
        async with self._database.read() as connection:
            row = (await connection.execute(PRESENT, {"prefixes": [prefix]})).mappings().first()
        if row is None:
            return None
        kept = row["digest"] if row["prefix"] == prefix else row["old_digest"]
        if not hmac.compare_digest(kept, digest(secret)):
            return None
        claims = _claims(row, prefix, now)
        if claims is not None and (row["last_used_at"] is None or now - row["last_used_at"] > SEEN_EVERY):
            async with self._database.write() as connection:
                await connection.execute(update(keys).where(keys.c.id == row["id"]).values(last_used_at=now))
        return claims

    async def present(self, prefixes: Collection[str], now: datetime) -> dict[str, Claims]:
        """Present claims of the keys of these prefixes, old ones during their grace included; ended keys are left out.

        For callers who showed their secrets before.
        """
        async with self._database.read() as connection:
            rows = (await connection.execute(PRESENT, {"prefixes": list(prefixes)})).mappings().all()
        known = {prefix: row for row in rows for prefix in (row["prefix"], row["old_prefix"]) if prefix is not None}
        told = {prefix: _claims(row, prefix, now) for prefix, row in known.items()}
        return {prefix: claims for prefix, claims in told.items() if claims is not None}


def draw_secret() -> tuple[str, str]:
    """A new secret and its prefix."""
    prefix = MARK + secrets.token_hex(6)
    return f"{prefix}_{secrets.token_urlsafe(32)}", prefix


def _one(key: KeyId, tenant: TenantId | None) -> Select[Any]:
    query = select(keys).where(keys.c.id == key)
    return query if tenant is None else query.where(keys.c.tenant == tenant)


def _claims(row: RowMapping, prefix: str, now: datetime) -> Claims | None:
    """Present claims of the key, as far as its owner has them; None when it is over, or the secret of that prefix
    is."""
    if not key_of(row).is_valid(now) or (row["prefix"] != prefix and now >= row["old_until"]):
        return None
    ends = (row["expires_at"], None if row["prefix"] == prefix else row["old_until"])
    role = row["role"]
    return Claims(
        tenant=TenantId(row["tenant"]),
        tier=Tier(row["tier"]),
        expires_at=min((end for end in ends if end is not None), default=None),
        scopes=_scopes(row) if role is None else _scopes(row) & scopes_of(Role(role)),
        via=Via.KEY,
        user=row["user"],
        credential=prefix,
        visibility=Visibility(row["visibility"]),
    )


def _scopes(row: RowMapping) -> frozenset[Scope]:
    return frozenset(Scope(scope) for scope in row["scopes"].split())


def key_of(row: RowMapping) -> Key:
    return Key(
        id=KeyId(row["id"]),
        tenant=TenantId(row["tenant"]),
        user=row["user"],
        name=row["name"],
        prefix=row["prefix"],
        scopes=_scopes(row),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
