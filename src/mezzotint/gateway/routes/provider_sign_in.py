"""Routes of the sign-in at the page through an OIDC provider: to the provider, and back with a code."""

from datetime import timedelta
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from mezzotint.gateway.auth import session_cookie
from mezzotint.gateway.auth.oidc_sign_in import MAX_CODE, OidcSignIn, SignInAttempt, SignInFailed
from mezzotint.gateway.dependencies import ServiceDep, find_base_url
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.network.path_prefix import link
from mezzotint.gateway.schemas import describe_errors
from mezzotint.gateway.service import Service

router = APIRouter(prefix="/v1/sign-in/provider", tags=["sign-in"])
ATTEMPT_LIFETIME = timedelta(minutes=10)
REDIRECTS: dict[int | str, dict[str, str]] = {303: {"description": "to the provider, or back to the page"}}
Code = Annotated[str, Query(max_length=MAX_CODE)]
Text = Annotated[str, Query(max_length=200)]
log = structlog.get_logger()


@router.get("", status_code=303, response_class=Response, responses=REDIRECTS | describe_errors(404, 429))
async def start_provider_sign_in(request: Request, service: ServiceDep) -> Response:
    """Send the browser to the provider's page."""
    way, attempt = _find_way(service), SignInAttempt.begin()
    try:
        url = await way.authorization_url(attempt, find_callback(service, request))
    except SignInFailed as error:
        return _turn_back(error)
    response = RedirectResponse(url, 303)
    session_cookie.set_attempt(response, request, str(attempt), ATTEMPT_LIFETIME)
    return response


@router.get(
    "/callback", status_code=303, response_class=Response, responses=REDIRECTS | describe_errors(400, 404, 422, 429)
)
async def finish_provider_sign_in(
    request: Request, service: ServiceDep, state: Text = "", code: Code = "", error: Text = ""
) -> Response:
    """Open a session for whom the provider sent back with a code; the address `#sign-in-failed` tells the page of a
    failure."""
    way = _find_way(service)
    try:
        attempt = SignInAttempt.read(session_cookie.read_attempt(request) or "")
        if error or not code:
            raise SignInFailed(f"the provider refused: {error[:80]!r}")
        token, expires_at = await way.exchange_code(attempt, state, code, find_callback(service, request))
    except SignInFailed as failure:
        response = _turn_back(failure)
    else:
        response = RedirectResponse(f"{link('/')}#signed-in", 303)
        session_cookie.set_on(response, request, token, expires_at)
    session_cookie.delete_attempt(response, request)
    return response


def find_callback(service: Service, request: Request) -> str:
    """The address that the provider must know as one of the client's redirect addresses."""
    return f"{find_base_url(service, request)}{router.prefix}/callback"


def _find_way(service: Service) -> OidcSignIn:
    if service.accounts.oidc_sign_in is None:
        raise ApiError("provider_missing", hint="Sign in with a name and a password, or with a token.")
    return service.accounts.oidc_sign_in


def _turn_back(failure: SignInFailed) -> Response:
    log.warning("a sign-in through the provider failed", why=str(failure))
    return RedirectResponse(f"{link('/')}#sign-in-failed", 303)
