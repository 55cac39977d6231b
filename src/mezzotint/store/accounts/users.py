"""Rows of users and of their sessions. Passwords go in and never come out; a session's secret is kept as its hash."""

import secrets
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import RowMapping, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from mezzotint.domain.claims import Claims, Role, Via, scopes_of
from mezzotint.domain.ids import TenantId, UserId
from mezzotint.domain.tenant import Tenant, Visibility
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.policy.credentials import fold_name
from mezzotint.store.accounts.passwords import Passwords
from mezzotint.store.database import Database
from mezzotint.store.digest import digest
from mezzotint.store.schema import keys, sessions, tenants, users

MAX_SESSIONS = 50
"""Sessions of one user: more devices than a person has."""
PRESENT = (
    select(
        users.c.id,
        users.c.tenant,
        users.c.role,
        tenants.c.tier,
        tenants.c.visibility,
        sessions.c.digest,
        sessions.c.expires_at,
    )
    .join(users, users.c.id == sessions.c.user)
    .join(tenants, tenants.c.id == users.c.tenant)
    .where(sessions.c.digest.in_(bindparam("digests", expanding=True)), sessions.c.expires_at > bindparam("now"))
    .where(users.c.disabled_at.is_(None), tenants.c.disabled_at.is_(None))
)
"""Sessions that are not over, whose user and tenant are let in."""


class Users:
    def __init__(self, database: Database, passwords: Passwords | None = None) -> None:
        self._database = database
        self._passwords = passwords or Passwords()

    async def add(self, user: User, password: str, tenant: Tenant | None = None) -> bool:
        """Keep a new user, with its new tenant if one is given. Returns whether both names were free."""
        hashed = await self._passwords.hash(password)
        row = {"id": user.id, "tenant": user.tenant, "name": fold_name(user.name), "role": user.role}
        try:
            async with self._database.write() as connection:
                if tenant is not None:
                    await connection.execute(
                        insert(tenants).values(id=tenant.id, tier=tenant.tier, created_at=tenant.created_at)
                    )
                await connection.execute(insert(users).values(**row, password=hashed, created_at=user.created_at))
        except IntegrityError:
            return False
        return True

    async def with_password(self, name: str, password: str) -> User | None:
        """The user of that name, if the password is theirs; takes as long whether there is one or not."""
        row = await self._row(name)
        hashed = None if row is None else row["password"]
        if not await self._passwords.is_right(hashed, password) or row is None:
            return None
        if self._passwords.is_old(row["password"]):
            await self._set(name, password=await self._passwords.hash(password))
        return user_of(row)

    async def get(self, name: str) -> User | None:
        row = await self._row(name)
        return None if row is None else user_of(row)

    async def of_tenant(self, tenant: TenantId | None = None) -> list[User]:
        """The users of a tenant, or all, by name."""
        query = select(users).order_by(users.c.name)
        if tenant is not None:
            query = query.where(users.c.tenant == tenant)
        async with self._database.read() as connection:
            return [user_of(row) for row in (await connection.execute(query)).mappings()]

    async def set_password(self, name: str, password: str) -> bool:
        """Change it and end every session of the user. Returns whether there is such a user."""
        return await self._set(name, password=await self._passwords.hash(password))

    async def set_role(self, name: str, role: Role) -> bool:
        return await self._set(name, role=role)

    async def disable(self, name: str, at: datetime | None) -> bool:
        """Let the user in no more and end the sessions; None lets them sign in again."""
        return await self._set(name, disabled_at=at)

    async def remove(self, name: str) -> bool:
        """Forget the user with all sessions and keys of theirs. Returns whether there was such a user."""
        mine = select(users.c.id).where(users.c.name == fold_name(name))
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.user.in_(mine)))
            await connection.execute(delete(keys).where(keys.c.user.in_(mine)))
            return bool((await connection.execute(delete(users).where(users.c.name == fold_name(name)))).rowcount)

    async def open_session(self, user: UserId, now: datetime, until: datetime) -> str:
        """A new session's secret. Sessions of the user that are over go, and the oldest beyond `MAX_SESSIONS`."""
        secret = secrets.token_urlsafe(32)
        mine = sessions.c.user == user
        newest = select(sessions.c.digest).where(mine).order_by(sessions.c.created_at.desc()).limit(MAX_SESSIONS - 1)
        beyond = mine & sessions.c.digest.not_in(newest)
        row = {"digest": digest(secret), "user": user, "created_at": now, "expires_at": until}
        async with self._database.write() as connection:
            await self._database.lock(connection, f"sessions of {user}")
            await connection.execute(delete(sessions).where(mine & (sessions.c.expires_at <= now)))
            await connection.execute(delete(sessions).where(beyond))
            await connection.execute(insert(sessions).values(row))
        return secret

    async def in_session(self, secret: str, now: datetime) -> Claims | None:
        """The claims of the session's user; None when it is over, or its user or tenant is disabled."""
        return (await self.present([digest(secret)], now)).get(digest(secret))

    async def present(self, digests: Collection[str], now: datetime) -> dict[str, Claims]:
        """Present claims of the sessions of these digests; ended sessions are left out."""
        async with self._database.read() as connection:
            rows = (await connection.execute(PRESENT, {"digests": list(digests), "now": now})).mappings().all()
        return {
            row["digest"]: Claims(
                tenant=TenantId(row["tenant"]),
                tier=Tier(row["tier"]),
                expires_at=row["expires_at"],
                scopes=scopes_of(Role(row["role"])),
                via=Via.SESSION,
                user=UserId(row["id"]),
                credential=row["digest"],
                visibility=Visibility(row["visibility"]),
            )
            for row in rows
        }

    async def close_session(self, secret: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.digest == digest(secret)))

    async def _row(self, name: str) -> RowMapping | None:
        async with self._database.read() as connection:
            query = select(users).where(users.c.name == fold_name(name))
            return (await connection.execute(query)).mappings().first()

    async def _set(self, name: str, **values: object) -> bool:
        mine = select(users.c.id).where(users.c.name == fold_name(name))
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.user.in_(mine)))
            result = await connection.execute(update(users).where(users.c.name == fold_name(name)).values(values))
            return bool(result.rowcount)


def user_of(row: RowMapping) -> User:
    return User(
        id=UserId(row["id"]),
        tenant=TenantId(row["tenant"]),
        name=row["name"],
        role=Role(row["role"]),
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
    )
