"""What the routes work with, and who is asking."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mezzotint.actions.finish import Desk
from mezzotint.actions.submit import Door
from mezzotint.domain.claims import Claims
from mezzotint.gateway.errors import GATEWAY_CODES, Answer
from mezzotint.gateway.tokens import Issuer
from mezzotint.store import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Everything the gateway is given. is_ready: whether the model is loaded. is_dev: the page signs in by itself.

    metrics_token: what /metrics asks for; None: only this machine may read it.
    """

    door: Door
    desk: Desk
    images: Images
    issuer: Issuer
    now: Callable[[], datetime]
    is_ready: Callable[[], bool]
    is_dev: bool = False
    metrics_token: str | None = None


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


The = Annotated[Service, Depends(service_of)]
bearer = HTTPBearer(auto_error=False, description="A token from `mezzotint token`.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


def signed_in(service: The, credentials: Bearer) -> Claims:
    """The claims of a valid token. Answers 401 otherwise."""
    hint = "Send `Authorization: Bearer <token>`; `mezzotint token --data DIR --tenant NAME --tier free` prints one."
    if credentials is None:
        raise Answer(401, "token_missing", GATEWAY_CODES["token_missing"], hint)
    claims = service.issuer.read(credentials.credentials)
    if claims is None:
        raise Answer(401, "token_invalid", GATEWAY_CODES["token_invalid"], hint)
    return claims


SignedIn = Annotated[Claims, Depends(signed_in)]
