"""Every kind of credential that a request can show, living and dead, and as whom it acts."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import jwt

from mezzotint.domain.claims import OWN, Role, Scope
from mezzotint.domain.ids import TenantId, UserId
from mezzotint.domain.key import Key, KeyRequest
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.gateway import Issuer, Service

OWNER, OTHER, OPS, SHUT = (TenantId(name) for name in ("ada", "eve", "ops", "shut"))
EVERYTHING = frozenset(Scope)
Headers = dict[str, str]


class Kind(NamedTuple):
    """acts_as: the column of the matrix. via: how it is shown. make: its headers, and whatever ended it."""

    acts_as: str
    via: str
    make: Callable[[Service], Awaitable[Headers]]
    reads_only: bool = False
    is_cross_site: bool = False
    is_shut_out: bool = False


async def populate(service: Service) -> None:
    """The owner's tenant, one that is disabled at the end of all, and the operators', each with a user."""
    for tenant, role in ((OWNER, Role.USER), (SHUT, Role.USER), (OPS, Role.ADMIN)):
        await service.accounts.tenants.add(Tenant(id=tenant, tier=Tier.FREE, created_at=datetime.now(UTC)))
        await add_user(service, f"{tenant}-user", tenant, role)


async def add_user(service: Service, name: str, tenant: TenantId, role: Role) -> User:
    user = User(id=UserId(f"usr_{name}"), tenant=tenant, name=name, role=role, created_at=datetime.now(UTC))
    assert await service.accounts.users.add(user, "four words in a row")
    return user


def bearer(secret: str) -> Headers:
    return {"Authorization": f"Bearer {secret}"}


def token(tenant: TenantId, role: Role = Role.USER, seconds: float = 300) -> Callable[[Service], Awaitable[Headers]]:
    async def make(service: Service) -> Headers:
        now = datetime.now(UTC) - timedelta(minutes=10) if seconds < 0 else datetime.now(UTC)
        return bearer(service.issuer.issue(tenant, Tier.PRO, now, timedelta(seconds=abs(seconds)), role=role))

    return make


async def forged(service: Service) -> Headers:
    return bearer(Issuer(b"x" * 32).issue(OWNER, Tier.PRO, datetime.now(UTC), timedelta(hours=1), role=Role.ADMIN))


async def unsigned(service: Service) -> Headers:
    until = datetime.now(UTC) + timedelta(hours=1)
    claims = {"iss": "mezzotint", "aud": "mezzotint", "sub": OWNER, "tier": "pro", "iat": until, "exp": until}
    return bearer(jwt.encode({**claims, "role": "admin"}, None, algorithm="none"))  # type: ignore[arg-type]


async def nothing(service: Service) -> Headers:
    return {}


async def add_key(
    service: Service, tenant: TenantId, scopes: frozenset[Scope], user: str | None, ends_at: datetime | None = None
) -> tuple[Key, str]:
    owner = UserId(f"usr_{user}") if user else None
    wanted = KeyRequest(tenant=tenant, user=owner, name="a key", scopes=scopes, expires_at=ends_at)
    made = await service.accounts.keys.add(wanted, datetime.now(UTC))
    assert made is not None
    return made


Change = Callable[[Service, Key], Awaitable[object]]


def key(
    tenant: TenantId, scopes: frozenset[Scope] = OWN, user: str | None = None, then: Change | None = None
) -> Callable[[Service], Awaitable[Headers]]:
    """then: what happens after it was made."""

    async def make(service: Service) -> Headers:
        made, secret = await add_key(service, tenant, scopes, user)
        if then is not None:
            await then(service, made)
        return bearer(secret)

    return make


async def expired_key(service: Service) -> Headers:
    return bearer((await add_key(service, OWNER, OWN, None, datetime.now(UTC) - timedelta(seconds=1)))[1])


async def revoke(service: Service, made: Key) -> None:
    await service.accounts.keys.revoke(made.id, made.tenant, datetime.now(UTC))


async def rotate(service: Service, made: Key) -> None:
    assert await service.accounts.keys.rotate(made.id, made.tenant, datetime.now(UTC), timedelta())


async def rotate_away(service: Service, made: Key) -> None:
    """Twice within the grace: the first secret is known no more."""
    for _ in range(2):
        assert await service.accounts.keys.rotate(made.id, made.tenant, datetime.now(UTC), timedelta(hours=1))


async def disable_tenant(service: Service) -> None:
    await service.accounts.tenants.disable(SHUT, datetime.now(UTC))


def of_new_user(
    name: str, tenant: TenantId, role: Role, then: Callable[[Service, str], Awaitable[object]], *, has_key: bool
) -> Callable[[Service], Awaitable[Headers]]:
    """The key or the session of a user to whom something happened."""

    async def make(service: Service) -> Headers:
        user = await add_user(service, name, tenant, role)
        if has_key:
            headers = bearer((await add_key(service, tenant, EVERYTHING if role is Role.ADMIN else OWN, name))[1])
        else:
            headers = await open_session(service, user.id)
        assert await then(service, name) is not False
        return headers

    return make


async def open_session(service: Service, user: UserId) -> Headers:
    now = datetime.now(UTC)
    secret = await service.accounts.users.open_session(user, now, now + timedelta(hours=1))
    return {"Cookie": f"mezzotint_session={secret}", "Sec-Fetch-Site": "same-origin"}


def session(tenant: TenantId, *, site: str = "same-origin") -> Callable[[Service], Awaitable[Headers]]:
    async def make(service: Service) -> Headers:
        return await open_session(service, UserId(f"usr_{tenant}-user")) | {"Sec-Fetch-Site": site}

    return make


async def signed_out(service: Service) -> Headers:
    headers = await open_session(service, UserId(f"usr_{OWNER}-user"))
    await service.accounts.users.close_session(headers["Cookie"].partition("=")[2])
    return headers


async def demote(service: Service, name: str) -> bool:
    return await service.accounts.users.set_role(name, Role.USER)


async def disable(service: Service, name: str) -> bool:
    return await service.accounts.users.disable(name, datetime.now(UTC))


async def remove(service: Service, name: str) -> bool:
    return await service.accounts.users.remove(name)


async def change_password(service: Service, name: str) -> bool:
    return await service.accounts.users.set_password(name, "quite another one")


READ = frozenset({Scope.READ})
KINDS: dict[str, Kind] = {
    "nothing": Kind("nobody", "nothing", nothing),
    "a forged token": Kind("nobody", "token", forged),
    "an unsigned token": Kind("nobody", "token", unsigned),
    "an expired token": Kind("nobody", "token", token(OWNER, Role.ADMIN, -1)),
    "a revoked key": Kind("nobody", "key", key(OWNER, then=revoke)),
    "a key rotated away": Kind("nobody", "key", key(OWNER, then=rotate)),
    "a key rotated away twice": Kind("nobody", "key", key(OWNER, then=rotate_away)),
    "an expired key": Kind("nobody", "key", expired_key),
    "a session signed out": Kind("nobody", "session", signed_out),
    "a demoted admin's session": Kind("nobody", "session", of_new_user("d1", OPS, Role.ADMIN, demote, has_key=False)),
    "a demoted admin's key": Kind("other", "key", of_new_user("d2", OPS, Role.ADMIN, demote, has_key=True)),
    "a disabled admin's session": Kind("nobody", "session", of_new_user("d3", OPS, Role.ADMIN, disable, has_key=False)),
    "a disabled admin's key": Kind("nobody", "key", of_new_user("d4", OPS, Role.ADMIN, disable, has_key=True)),
    "a deleted user's session": Kind("nobody", "session", of_new_user("d5", OWNER, Role.USER, remove, has_key=False)),
    "a deleted user's key": Kind("nobody", "key", of_new_user("d6", OWNER, Role.USER, remove, has_key=True)),
    "a session before the password changed": Kind(
        "nobody", "session", of_new_user("d7", OWNER, Role.USER, change_password, has_key=False)
    ),
    "a disabled tenant's token": Kind("nobody", "token", token(SHUT), is_shut_out=True),
    "a disabled tenant's key": Kind("nobody", "key", key(SHUT)),
    "a disabled tenant's session": Kind("nobody", "session", session(SHUT)),
    "another tenant's token": Kind("other", "token", token(OTHER)),
    "the operators' token": Kind("admin", "token", token(OPS, Role.ADMIN)),
    "the operators' key": Kind("admin", "key", key(OPS, EVERYTHING)),
    "an admin's key": Kind("admin", "key", key(OPS, EVERYTHING, f"{OPS}-user")),
    "an admin's session": Kind("admin", "session", session(OPS)),
    "a key that may read": Kind("owner", "key", key(OWNER, READ), reads_only=True),
    "a user's key": Kind("owner", "key", key(OWNER, user=f"{OWNER}-user")),
    "a user's session": Kind("owner", "session", session(OWNER)),
    "a user's session on another site's page": Kind(
        "owner", "session", session(OWNER, site="cross-site"), is_cross_site=True
    ),
    "the owner's token": Kind("owner", "token", token(OWNER)),
}
"""Those that may end what others look at come last."""
