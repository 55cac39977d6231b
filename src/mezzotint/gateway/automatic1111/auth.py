"""Authentication of the AUTOMATIC1111 API: HTTP Basic with an API key or token as the password.

Clients that are told no password send nothing; that is taken only by a server run with --dev, from its own machine.
"""

from base64 import b64decode
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security.http import HTTPBase

from mezzotint.domain.claims import Claims, Scope
from mezzotint.domain.tier import Tier
from mezzotint.gateway.auth.authenticate import authenticate_bearer, require_scope
from mezzotint.gateway.dependencies import ServiceDep
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.routes.about import DEV_LIFETIME, DEV_TENANT, is_local
from mezzotint.gateway.service import Service

basic = HTTPBase(scheme="basic", auto_error=False, description="Any user name; an API key or a token as the password.")
HINT = "Send HTTP Basic with any user name and an API key or token as the password (--api-auth user:password)."


async def authenticate_basic(
    request: Request, service: ServiceDep, _basic: Annotated[object, Depends(basic)]
) -> Claims:
    """Answers 401 or 403 where the caller may not do what the method says."""
    scope = Scope.READ if request.method == "GET" else Scope.WRITE
    claims = await _read_claims(service, request)
    await service.rate_limits.count_tenant(request, claims)
    return require_scope(claims, scope)


BasicCallerClaims = Annotated[Claims, Depends(authenticate_basic)]


async def _read_claims(service: Service, request: Request) -> Claims:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            password = b64decode(credentials.strip(), validate=True).decode("utf-8").partition(":")[2]
        except ValueError:
            raise ApiError("token_invalid", message="The credentials are not HTTP Basic.", hint=HINT) from None
        return await authenticate_bearer(service, request, password)
    if scheme.lower() == "bearer":
        return await authenticate_bearer(service, request, credentials.strip())
    if service.is_dev and is_local(request):
        return (
            service.issuer.read(service.issuer.issue(DEV_TENANT, Tier.PRO, service.now(), DEV_LIFETIME))
            or _refuse_anonymous()
        )
    return _refuse_anonymous()


def _refuse_anonymous() -> Claims:
    raise ApiError("token_missing", hint=HINT)
