"""Routes of users: sign in with a name and a password, sign out, sign up, change the password."""

import secrets
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from mezzotint.domain.claims import Claims, Role, Via, scopes_of
from mezzotint.domain.ids import TenantId, UserId
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.gateway.auth import session_cookie
from mezzotint.gateway.dependencies import CallerClaims, ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.schemas import Me, describe_caller, describe_errors
from mezzotint.gateway.service import Service
from mezzotint.policy.credentials import MAX_NAME, MAX_PASSWORD, fold_name, name_fault, password_fault

router = APIRouter(prefix="/v1", tags=["sign-in"])
Name = Annotated[str, Field(max_length=MAX_NAME)]
Password = Annotated[SecretStr, Field(max_length=MAX_PASSWORD)]


class Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    password: Password


class NewPassword(BaseModel):
    model_config = ConfigDict(extra="forbid")

    old_password: Password
    new_password: Password


@router.post("/sign-in", responses=describe_errors(400, 401, 403, 413, 422, 429, 503))
async def sign_in(body: Credentials, request: Request, response: Response, service: ServiceDep) -> Me:
    """Open a session; its cookie is for the page. Programs use API keys instead."""
    check_origin(request)
    await service.rate_limits.count_sign_in(request, fold_name(body.name))
    user = None
    if name_fault(body.name) is None:
        user = await service.accounts.users.with_password(body.name, body.password.get_secret_value())
    if user is None or user.disabled_at is not None:
        raise ApiError("password_wrong", hint="Check both, or ask who runs this server.")
    return await open_session(service, request, response, user)


@router.post("/sign-up", status_code=201, responses=describe_errors(400, 403, 409, 413, 422, 429, 503))
async def sign_up(body: Credentials, request: Request, response: Response, service: ServiceDep) -> Me:
    """Make a tenant of the free tier with one user, and sign in; 403 unless the server allows it."""
    check_origin(request)
    await service.rate_limits.count_sign_in(request, fold_name(body.name))
    if not service.accounts.can_sign_up:
        raise ApiError("sign_up_closed", hint="Ask who runs this server for a name.")
    check_credentials(body.name, body.password.get_secret_value())
    now = service.now()
    tenant = Tenant(id=TenantId(f"t-{secrets.token_hex(8)}"), tier=Tier.FREE, created_at=now)
    user = User(id=new_user_id(), tenant=tenant.id, name=fold_name(body.name), role=Role.USER, created_at=now)
    if not await service.accounts.users.add(user, body.password.get_secret_value(), tenant):
        raise ApiError("name_taken", hint="Choose another, or sign in.", param="name")
    return await open_session(service, request, response, user)


@router.post("/sign-out", status_code=204, responses=describe_errors(403, 503))
async def sign_out(request: Request, service: ServiceDep) -> Response:
    """End the session of the cookie, if there is one."""
    check_origin(request)
    response = Response(status_code=204)
    secret = session_cookie.read_secret(request)
    if secret is not None:
        await service.accounts.users.close_session(secret)
        service.streams.changed.set()
        session_cookie.delete_from(response, request)
    return response


@router.put("/password", responses=describe_errors(400, 401, 403, 413, 422, 429, 503))
async def change_password(
    body: NewPassword, request: Request, response: Response, service: ServiceDep, claims: CallerClaims
) -> Me:
    """Change one's own password; every session ends, and this page gets a new one."""
    user = await find_user(service, claims)
    await service.rate_limits.count_sign_in(request, user.name)
    old, new = body.old_password.get_secret_value(), body.new_password.get_secret_value()
    if await service.accounts.users.with_password(user.name, old) is None:
        raise ApiError("old_password_wrong", hint="Send the present password too.")
    check_credentials(user.name, new, param="new_password")
    await service.accounts.users.set_password(user.name, new)
    service.streams.changed.set()
    return await open_session(service, request, response, user)


async def find_user(service: Service, claims: Claims) -> User:
    for user in await service.accounts.users.of_tenant(claims.tenant):
        if claims.via is Via.SESSION and user.id == claims.user:
            return user
    raise ApiError("session_needed", hint="Sign in with a name and a password first.")


async def open_session(service: Service, request: Request, response: Response, user: User) -> Me:
    now = service.now()
    tenant = await service.accounts.tenants.get(user.tenant)
    if tenant is None or tenant.disabled_at is not None:
        raise ApiError("tenant_disabled", hint="Ask who runs this server.")
    until = now + service.accounts.session_lifetime
    secret = await service.accounts.users.open_session(user.id, now, until)
    service.guess_limits.remember(request, secret)
    session_cookie.set_on(response, request, secret, until)
    claims = Claims(tenant=tenant.id, tier=tenant.tier, expires_at=until, scopes=scopes_of(user.role))
    return describe_caller(replace(claims, via=Via.SESSION, user=user.id))


def check_origin(request: Request) -> None:
    """Answers 403 to another site's page, which must not sign its visitors in or out. Programs send no origin."""
    is_browser = "sec-fetch-site" in request.headers or "origin" in request.headers
    if is_browser and not session_cookie.is_from_our_page(request):
        raise ApiError("cross_site", hint="Use the server's own page.")


def check_credentials(name: str, password: str, *, param: str = "password") -> None:
    if fault := name_fault(name):
        raise ApiError("name_invalid", hint=fault, param="name")
    if fault := password_fault(name, password):
        raise ApiError("password_weak", hint=fault, param=param)


def new_user_id() -> UserId:
    return UserId(f"usr_{secrets.token_hex(8)}")
