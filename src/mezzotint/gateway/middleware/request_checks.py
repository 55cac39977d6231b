"""Refuses requests that no route can use, before any route sees them."""

from functools import lru_cache
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mezzotint.gateway.automatic1111.errors import sdapi_error
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.openai.errors import openai_error


class AddressCheck:
    """Refuses addresses with U+0000 in them, and Host headers that name no host."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = find_fault(scope) if scope["type"] in {"http", "websocket"} else None
        if refused is None:
            await self.app(scope, receive, send)
        else:
            await format_response(scope, refused)(scope, receive, send)


def find_fault(scope: Scope) -> ApiError | None:
    """The fault of a request's URL or Host header; None: it has none."""
    if "\0" in scope["path"]:
        return ApiError("not_found", hint="The API is described at /openapi.json.")
    if b"%00" in scope["query_string"]:
        return ApiError("field_invalid", message="The query has the character U+0000.", hint="Leave it out.")
    if not all(_is_host(value) for name, value in scope["headers"] if name == b"host"):
        hint = "Send the name or address of the server, and its port if it is not the usual one."
        return ApiError("host_invalid", hint=hint)
    return None


def format_response(scope: Scope, answer: ApiError) -> Response:
    """Format the error in the shape of the path's API."""
    path: str = scope["path"]
    if path.startswith("/sdapi/"):
        return sdapi_error(answer)
    return openai_error(answer) if path.startswith("/v1/images/") else answer.response()


@lru_cache(maxsize=256)
def _is_host(header: bytes) -> bool:
    host = header.decode("latin-1")
    if not host.isascii() or any(letter <= " " or letter in "@/\\?#%<>\x7f" for letter in host):
        return False
    try:
        parts = urlsplit(f"//{host}")
        return host == "" or (bool(parts.hostname) and parts.port != 0)
    except ValueError:
        return False
