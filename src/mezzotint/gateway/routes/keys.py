"""Routes of API keys: a key belongs to the user who made it, or to the tenant. A key cannot make keys.

Users see and revoke their own keys and the tenant's; a token, which speaks for the whole tenant, and an admin see and
revoke the keys of all its users. Only a key's owner gets its new secret; a tenant's key is given to callers that have
all of its scopes.
"""

import re
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.domain.claims import OWN, Claims, Scope, Via
from mezzotint.domain.ids import KeyId
from mezzotint.domain.key import Key, KeyRequest
from mezzotint.domain.tenant import Tenant
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.schemas import describe_errors
from mezzotint.gateway.service import Service

router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=describe_errors(401, 403, 422, 429, 503))
Id = Annotated[str, Path(description="the key's id", max_length=64)]
KEY_ID = re.compile(r"key_[0-9a-f]{16}")
MAX_KEYS = 100
"""Limit of one tenant, revoked keys included: it stops a loop that makes keys."""


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80, description="for you to know it by")
    scopes: set[Scope] = Field(default=set(OWN), min_length=1, description="at most what you may do yourself")
    days: int | None = Field(90, ge=1, le=3650, description="how long it works; null: until it is revoked")


class Rotation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    grace_hours: int = Field(24, ge=0, le=720, description="how long the old secret works on")


class KeyView(BaseModel):
    id: str
    name: str
    prefix: str = Field(description="the visible beginning of the secret")
    user: str | None = Field(description="whose key it is; null: the tenant's")
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="to the minute")

    @classmethod
    def of(cls, key: Key) -> "KeyView":
        fields = {name: getattr(key, name) for name in cls.model_fields if name != "scopes"}
        return cls(**fields, scopes=sorted(key.scopes))


class KeyList(BaseModel):
    keys: list[KeyView]


class MadeKey(BaseModel):
    key: KeyView
    secret: str = Field(description="shown this once")


@router.get("")
async def list_keys(service: ServiceDep, claims: CallerClaims) -> KeyList:
    """Your keys and the tenant's, oldest first; their secrets are not kept."""
    found = await service.accounts.keys.of_tenant(claims.tenant)
    return KeyList(keys=[KeyView.of(key) for key in found if may_see(claims, key)])


@router.post("", status_code=201, responses=describe_errors(400, 413))
async def create_key(body: NewKey, service: ServiceDep, claims: CallerClaims) -> MadeKey:
    """A new key, at most with your own rights at any time. Its secret is in this answer and nowhere else."""
    check_may_manage(claims)
    may_give = claims.scopes if claims.user is not None else claims.scopes & OWN
    if not body.scopes <= may_give:
        hint = f"You may give: {', '.join(sorted(may_give))}."
        raise ApiError("scope_missing", hint=hint, param="scopes")
    now = service.now()
    await ensure_tenant(service, claims, now)
    wanted = KeyRequest(
        tenant=claims.tenant,
        user=claims.user,
        name=body.name,
        scopes=frozenset(body.scopes),
        expires_at=None if body.days is None else now + timedelta(days=body.days),
    )
    made = await service.accounts.keys.add(wanted, now, MAX_KEYS)
    if made is None:
        raise ApiError("too_many_keys", hint="Rotate one instead of making another.")
    return MadeKey(key=KeyView.of(made[0]), secret=made[1])


@router.post("/{key_id}/rotate", responses=describe_errors(400, 404, 413))
async def rotate_key(key_id: Id, service: ServiceDep, claims: CallerClaims, body: Rotation | None = None) -> MadeKey:
    """A new secret for the key; the old one works on for a while, so that nothing stops meanwhile."""
    check_may_manage(claims)
    key = await find_own_key(service, claims, key_id)
    if key.user not in {None, claims.user}:
        raise key_not_found_error()
    if key.user is None and not key.scopes <= claims.scopes:
        hint = f"The key may do: {', '.join(sorted(key.scopes))}; you may do: {', '.join(sorted(claims.scopes))}."
        raise ApiError("scope_missing", hint=hint)
    grace = timedelta(hours=(body or Rotation(grace_hours=24)).grace_hours)
    rotated = await service.accounts.keys.rotate(key.id, claims.tenant, service.now(), grace)
    if rotated is None:
        raise key_not_found_error()
    service.streams.changed.set()
    return MadeKey(key=KeyView.of(rotated[0]), secret=rotated[1])


@router.delete("/{key_id}", status_code=204, responses=describe_errors(404))
async def revoke_key(key_id: Id, service: ServiceDep, claims: CallerClaims) -> Response:
    """End the key at once."""
    check_may_manage(claims)
    key = await find_own_key(service, claims, key_id)
    await service.accounts.keys.revoke(key.id, claims.tenant, service.now())
    service.streams.changed.set()
    return Response(status_code=204)


def may_see(claims: Claims, key: Key) -> bool:
    """Say whether a key of the caller's tenant is the caller's to see and to end."""
    return key.user in {None, claims.user} or claims.user is None or claims.is_manager


async def find_own_key(service: Service, claims: Claims, key_id: str) -> Key:
    """The key, if the caller may see it. Answers 404 otherwise."""
    key = await service.accounts.keys.get(KeyId(key_id), claims.tenant) if KEY_ID.fullmatch(key_id) else None
    if key is None or not may_see(claims, key):
        raise key_not_found_error()
    return key


def check_may_manage(claims: Claims) -> None:
    """Answers 403 to an API key: a leaked key must not make keys that outlive its revocation."""
    if claims.via is Via.KEY:
        raise ApiError("session_needed", hint="Sign in, or use a token.")


async def ensure_tenant(service: Service, claims: Claims, now: datetime) -> None:
    """Create the row of a tenant that is known from tokens alone, with the token's tier.

    From then on that row limits the tier of its tokens.
    """
    if await service.accounts.tenants.get(claims.tenant) is None:
        await service.accounts.tenants.add(Tenant(id=claims.tenant, tier=claims.tier, created_at=now))


def key_not_found_error() -> ApiError:
    return ApiError("key_not_found", hint="GET /v1/keys lists yours.")
