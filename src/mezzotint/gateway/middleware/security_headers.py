"""Security and caching headers of every response, and the name of its request."""

import secrets

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
REQUEST_ID = "mezzotint.request_id"
"""Key of a scope: the request's id."""
NO_STORE = "no-store"
CACHED = ("/i/", "/assets/")
"""Prefixes of public paths whose names change with their content."""
PAGE = frozenset({"/", "/index.html"})
FOUND = frozenset({200, 206, 304})
STARTS = frozenset({"http.response.start", "websocket.http.response.start"})
"""The second is of a WebSocket that is refused."""


class SecurityHeaders:
    """Puts `HEADERS` and a request id on every response, and lets caches keep only pictures and the page.

    OpenAI's clients show the id; log lines of the request carry it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = f"req_{secrets.token_hex(12)}"
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in STARTS:
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
                headers["Cache-Control"] = choose_cache_control(
                    scope["path"], message["status"], headers.get("Cache-Control")
                )
            await send(message)

        await self.app(scope, receive, send_with_headers)


def choose_cache_control(path: str, status: int, wanted: str | None) -> str:
    """The Cache-Control header. wanted: the route's own, which counts for public paths alone."""
    is_public = path.startswith(CACHED) or path in PAGE
    return wanted if wanted is not None and is_public and status in FOUND else NO_STORE
