"""A client of an ASGI application that sends what HTTP libraries refuse to: any bytes, anywhere."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

CHUNK = 64 * 1024
"""As a server hands on a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzed:
    """A request. target: path and query as they stand in the first line."""

    label: str
    method: str = "POST"
    target: str
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""


@dataclass(slots=True)
class Answered:
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    error: Exception | None = None

    def header(self, name: str) -> str | None:
        return next((value.decode("latin-1") for key, value in self.headers if key == name.encode()), None)


async def send(app: Any, request: Fuzzed, within_s: float) -> Answered:
    """The application's answer, as far as it came in time: a client that waits no longer goes away."""
    answered, is_socket, pieces = Answered(), request.method == "WEBSOCKET", _pieces(request.body)
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)  # a body comes in parts, between which others have their turn
        if (piece := next(pieces, None)) is not None:
            kind = "websocket.connect" if is_socket else "http.request"
            return {"type": kind, "body": piece[0], "more_body": piece[1]}
        await gone.wait()
        return {"type": "websocket.disconnect" if is_socket else "http.disconnect", "code": 1001}

    async def take(message: dict[str, Any]) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                answered.status, answered.headers = message["status"], tuple(message["headers"])
            case "http.response.body" | "websocket.http.response.body":
                answered.body += message.get("body", b"")
            case "websocket.accept":
                answered.status = 101
                gone.set()

    try:
        async with asyncio.timeout(within_s):
            await app(scope_of(request), receive, take)
    except TimeoutError:
        answered.status = answered.status or 408
    except Exception as error:  # as a server sees it: the application raised
        answered.status, answered.error = 500, error
    return answered


def _pieces(body: bytes) -> Iterator[tuple[bytes, bool]]:
    """The parts of a body, each with whether more comes."""
    for start in range(0, len(body) or 1, CHUNK):
        yield body[start : start + CHUNK], start + CHUNK < len(body)


def scope_of(request: Fuzzed) -> dict[str, Any]:
    path, _, query = request.target.partition("?")
    is_socket = request.method == "WEBSOCKET"
    has_host = any(name == b"host" for name, _ in request.headers)
    return {
        "type": "websocket" if is_socket else "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "ws" if is_socket else "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [*(() if has_host else ((b"host", b"127.0.0.1:8400"),)), *request.headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8400),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        "state": {},
    }
