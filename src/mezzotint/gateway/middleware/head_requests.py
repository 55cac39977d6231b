"""HEAD for every address that takes GET: the same status and headers without a body (RFC 9110, section 9.3.2)."""

from anyio import CancelScope
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """Runs the route of GET. A stream of events is ended once its headers are there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        is_answered = False
        with CancelScope() as until_answered:

            async def send_headers(message: Message) -> None:
                nonlocal is_answered
                if message["type"] == "http.response.start":
                    await send(message)
                elif not is_answered:
                    is_answered = True
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    if message.get("more_body", False):
                        until_answered.cancel()

            await self.app({**scope, "method": "GET"}, receive, send_headers)
