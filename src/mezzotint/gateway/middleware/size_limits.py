"""Limits of bodies and URLs, for every route. They never buffer a stream."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mezzotint.gateway.bodies.json_values import read_json_value
from mezzotint.gateway.bodies.request_bodies import RequestBodies, too_large_error
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.middleware.request_checks import format_response

MAX_BODY_BYTES = 64 * 1024
"""Many times a prompt of 2,000 characters in any script."""

MAX_URL_BYTES = 8 * 1024

STREAMED = frozenset(
    {
        "/v1/uploads",
        "/v1/images/edits",
        "/v1/images/variations",
        "/v1/moderations",
        "/sdapi/v1/img2img",
        "/sdapi/v1/extra-single-image",
        "/sdapi/v1/extra-batch-images",
        "/sdapi/v1/png-info",
    }
)
"""Paths whose routes read their larger bodies themselves, after authentication."""


class BodyLimit:
    """Answers 413 to a body over `MAX_BODY_BYTES`, declared or not, 408 to one that comes too slowly, and 400 or 422 to
    JSON that `read_json_value` does not take."""

    def __init__(self, app: ASGIApp, bodies: RequestBodies) -> None:
        self.app, self.bodies = app, bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in STREAMED:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        if declared == b"0" and not headers.keys() & {b"transfer-encoding", b"content-type"}:  # most requests have none
            await self.app(scope, receive, send)
            return
        try:
            if not (declared.isdigit() and int(declared[:20]) <= MAX_BODY_BYTES):
                raise too_large_error(MAX_BODY_BYTES)
            body = await self.bodies.read(receive, MAX_BODY_BYTES)
            if body and any(name == b"content-type" and b"json" in kind.lower() for name, kind in scope["headers"]):
                read_json_value(body)
        except ApiError as answer:
            await format_response(scope, answer)(scope, receive, send)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()  # the end of the connection

        await self.app(scope, replay, send)


class UrlLimit:
    """Answers 414 to an address of more than `MAX_URL_BYTES`. Headers in all are bounded by the HTTP parser."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_URL_BYTES:
            hint = f"Send at most {MAX_URL_BYTES} bytes, and long things in the body."
            await format_response(scope, ApiError("url_too_long", hint=hint))(scope, receive, send)
            return
        await self.app(scope, receive, send)
