"""Authenticates a request: a bearer token, an API key or a session cookie becomes claims."""

from dataclasses import replace
from functools import partial

from starlette.requests import HTTPConnection

from mezzotint.domain.claims import Claims, Scope
from mezzotint.domain.key import MARK
from mezzotint.gateway.auth import session_cookie
from mezzotint.gateway.auth.guess_limits import check_credential
from mezzotint.gateway.auth.tokens import read_algorithm
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.service import Service

HINT = "Send `Authorization: Bearer <key or token>`; `mezzotint token --data DIR --tenant NAME --tier free` prints one."


async def authenticate(service: Service, connection: HTTPConnection, *, is_safe: bool) -> Claims:
    """Read the caller's claims. is_safe: the request changes nothing, so any page may make it. Answers 401 or 403."""
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await authenticate_bearer(service, connection, credentials.strip())
    secret = session_cookie.read_secret(connection)
    if secret is None:
        raise ApiError("token_missing", hint=HINT)
    if not is_safe and not session_cookie.is_from_our_page(connection):
        hint = "Use the server's own page, or send an API key instead of the cookie."
        raise ApiError("cross_site", hint=hint)

    async def read(secret: str) -> Claims:
        if "." in secret:  # an OIDC provider's ID token, else a session's name
            return await _read_key_or_token(service, secret)
        claims = await service.accounts.users.in_session(secret, service.now())
        if claims is None:
            raise ApiError("session_invalid", hint="Sign in again.")
        return claims

    return await check_credential(service.guess_limits, service.rate_limits, connection, secret, read)


async def authenticate_bearer(service: Service, connection: HTTPConnection, credentials: str) -> Claims:
    """Read the claims of an API key or a token. Answers 401 or 403; 429 after too many wrong guesses."""
    return await check_credential(
        service.guess_limits, service.rate_limits, connection, credentials, partial(_read_key_or_token, service)
    )


async def _read_key_or_token(service: Service, credentials: str) -> Claims:
    if not (credentials.isascii() and credentials.isprintable()):  # a key is looked up in the database
        raise ApiError("token_invalid", hint=HINT)
    if credentials.startswith(MARK):
        claims = await service.accounts.keys.read(credentials, service.now())
        if claims is None:
            raise ApiError("key_invalid", hint="Make another: POST /v1/keys.")
        return claims
    claims = await _read_token(service, credentials)
    if claims is None:
        raise ApiError("token_invalid", hint=HINT)
    tenant = await service.accounts.tenants.present(claims.tenant)
    if tenant is None:
        return claims
    if tenant.disabled_at is not None:
        raise ApiError("tenant_disabled", hint="Ask who runs this server.")
    tier = min(claims.tier, tenant.tier, key=lambda tier: tier.rank)
    return replace(claims, tier=tier, visibility=tenant.visibility)


async def _read_token(service: Service, token: str) -> Claims | None:
    provider = service.accounts.provider
    if provider is None:
        return service.issuer.read(token)
    match read_algorithm(token):
        case "HS256":
            return service.issuer.read(token)
        case "RS256" | "ES256":
            return await provider.read(token)
        case _:
            return None


def require_scope(claims: Claims, scope: Scope) -> Claims:
    if scope not in claims.scopes:
        hint = f'It takes a credential with the scope "{scope}"; yours has: {", ".join(sorted(claims.scopes))}.'
        raise ApiError("scope_missing", hint=hint)
    return claims
