"""A response of server-sent events that ends with its caller's credential."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing, suppress

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mezzotint.domain.claims import Claims
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.service import Service

LAST_S = 2.0
"""Timeout of the last event, for a client that no longer reads."""
EVENT = {
    "type": "object",
    "description": "one event of the stream",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
"""As the API's description has it; OpenAPI 3.1 has no word for a body that is a sequence."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """place: resources that the open stream holds. last: formats an event that says why the stream ended."""

    def __init__(
        self,
        service: Service,
        claims: Claims,
        lines: AsyncGenerator[str],
        place: ExitStack,
        last: Callable[[ApiError], str],
    ) -> None:
        super().__init__(lines, media_type="text/event-stream", headers=HEADERS)
        self._service, self._claims, self._lines, self._place, self._last = service, claims, lines, place, last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        try:
            async with (
                aclosing(self._lines),
                self._service.streams.while_valid(self._claims, self._service.now()),
            ):
                await super().stream_response(send)
        except ApiError as ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_S):
                    body = self._last(ended).encode()
                    await send({"type": "http.response.body", "body": body, "more_body": False})
