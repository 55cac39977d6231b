"""Serves under a path prefix, such as /paint of https://example.org/paint, whether a proxy strips it or not.

The prefix is the setting's, or what a trusted proxy says by X-Forwarded-Prefix. Routes see paths without it; links in
answers have it.
"""

import re
from contextvars import ContextVar

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
MAX_PREFIX = 200
SERVED = frozenset({"v1", "i", "sdapi", "assets", "healthz", "readyz", "metrics", "openapi.json", "index.html"})
"""First segments of paths of this server: a prefix that begins with one could not be told from them."""
FORWARDED_PREFIX = "forwarded_prefix"
"""Key of a request's state: the prefix that a trusted proxy says."""
_prefix: ContextVar[str] = ContextVar("prefix", default="")


def read_prefix(text: str) -> str:
    """The prefix with a slash before it and none behind; empty: none. Raises: ValueError."""
    text = text.rstrip("/")
    if text and (len(text) > MAX_PREFIX or not PREFIX.fullmatch(text) or text.split("/")[1] in SERVED):
        raise ValueError(f"{text!r} is no path such as /paint, or one of this server's own")
    return text


def set_prefix(prefix: str) -> None:
    """The prefix of links that this task and those that it starts make outside of requests."""
    _prefix.set(prefix)


def link(path: str) -> str:
    """The path as the client of the present request has to ask for it."""
    return _prefix.get() + path


class PathPrefix:
    """Takes the prefix off each request's path."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app, self.prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        prefix = scope.get("state", {}).get(FORWARDED_PREFIX) or self.prefix
        before = _prefix.set(prefix)
        try:
            if prefix and scope["path"] == prefix and scope["type"] == "http":
                query = scope["query_string"].decode("latin-1")
                address = f"{prefix}/?{query}" if query else f"{prefix}/"  # the page's own links begin behind the slash
                await RedirectResponse(address, 308)(scope, receive, send)
                return
            if prefix and scope["path"].startswith(f"{prefix}/"):
                scope["path"] = scope["path"][len(prefix) :]  # in place: what is around reads the path afterwards
                scope["raw_path"] = scope.get("raw_path", b"")[len(prefix) :]
            await self.app(scope, receive, send)
        finally:
            _prefix.reset(before)
