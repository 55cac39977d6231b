"""Checks a request's Host header, before any route, against the names that the server serves.

DNS rebinding: a name server can suddenly resolve `evil.example` to 127.0.0.1. To a browser its page is then of the same
origin as this server; only the Host header shows the difference.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from mezzotint.gateway.errors import ApiError

LOOPBACK = re.compile(r"(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])", re.IGNORECASE)
HOST = re.compile(r"(?P<name>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")


def read_host_name(header: str) -> str | None:
    """The name in a Host header, in lower case and without its port; None where the header is not one name."""
    match = HOST.fullmatch(header)
    return match["name"].lower() if match else None


def names_this_machine(header: str) -> bool:
    """Say whether a Host header is exactly a loopback name or address, with or without a port."""
    name = read_host_name(header)
    return name is not None and LOOPBACK.fullmatch(name) is not None


def read_hosts(text: str) -> frozenset[str] | None:
    """From host names, comma-separated; None: any name. Raises: ValueError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if read_host_name(name) != name.lower()]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not a host name without a port")
    return frozenset(name.lower() for name in names) if names else None


class HostCheck:
    """Answers 421 to a request for another host, and lets no such WebSocket in.

    names: the host names served beside this machine's own, in lower case; None: whatever a client says.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str] | None) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self.names is None:
            await self.app(scope, receive, send)
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and (names_this_machine(hosts[0]) or read_host_name(hosts[0]) in self.names):
            await self.app(scope, receive, send)
        else:
            hint = "Use an address that the server was told of (MEZZOTINT_ALLOWED_HOSTS; with --dev loopback alone)."
            answer = ApiError("host_unknown", hint=hint)
            await answer.response()(scope, receive, send)
