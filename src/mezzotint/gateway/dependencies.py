"""FastAPI dependencies of the routes: the service, the claims of the authenticated caller, and the job it wants."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from mezzotint.domain.claims import Claims, Scope
from mezzotint.gateway.auth import session_cookie
from mezzotint.gateway.auth.authenticate import authenticate, require_scope
from mezzotint.gateway.network.path_prefix import link
from mezzotint.gateway.schemas import NewJob
from mezzotint.gateway.service import Service
from mezzotint.policy.admission.request import JobRequest


async def get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def find_base_url(service: Service, request: Request) -> str:
    """The URL by which the client reaches this server, without a slash at its end."""
    return service.public_url or str(request.base_url).rstrip("/") + link("")


bearer = HTTPBearer(auto_error=False, description="An API key (`mz_...`) or a token.")
session = APIKeyCookie(
    name=session_cookie.PLAIN, auto_error=False, description="What POST /v1/sign-in sets, for the page."
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
Cookie = Annotated[str | None, Depends(session)]


async def authenticate_caller(request: Request, service: ServiceDep, _bearer: Bearer, _cookie: Cookie) -> Claims:
    """The caller's claims; they include the scope to read (GET, HEAD) or to write (all else). Answers 401 or 403."""
    claims = await authenticate(service, request, is_safe=request.method in {"GET", "HEAD"})
    await service.rate_limits.count_tenant(request, claims)
    return require_scope(claims, Scope.READ if request.method in {"GET", "HEAD"} else Scope.WRITE)


async def authenticate_admin(request: Request, service: ServiceDep, _bearer: Bearer, _cookie: Cookie) -> Claims:
    claims = await authenticate(service, request, is_safe=request.method in {"GET", "HEAD"})
    await service.rate_limits.count_tenant(request, claims)
    return require_scope(claims, Scope.ADMIN)


CallerClaims = Annotated[Claims, Depends(authenticate_caller)]
AdminClaims = Annotated[Claims, Depends(authenticate_admin)]


def to_job_request(body: NewJob) -> JobRequest:
    styles = tuple(style.wanted() for style in body.styles)
    return JobRequest(**body.model_dump(exclude={"new", "styles"}), styles=styles, is_new=body.new)


WantedJob = Annotated[JobRequest, Depends(to_job_request)]
"""A route's body, as the domain knows it."""
