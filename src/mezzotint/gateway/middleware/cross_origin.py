"""Cross-origin requests (CORS) from the pages of origins that the settings name, one by one, without cookies."""

import re

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ORIGIN = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
EXPOSED = (
    "Content-Disposition",
    "ETag",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Request-Id",
)
"""Headers of answers that scripts of those pages may read, beside those that each may."""
PREFLIGHT_S = 600
"""A browser remembers what it may send so long."""


def read_origins(text: str) -> tuple[str, ...]:
    """From origins, comma-separated. Raises: ValueError, also for `*` and for what browsers would never send."""
    origins = tuple(name.strip() for name in text.split(",") if name.strip())
    wrong = [origin for origin in origins if not ORIGIN.fullmatch(origin)]
    if wrong:
        raise ValueError(
            f"{wrong[0]!r} is not an origin such as https://app.example.org, in lower case, without a path"
        )
    return origins


class CrossOrigin:
    """Answers preflights and marks answers for the origins. Cookies stay out: such pages send a key or a token.

    Every answer says that it depends on the origin, also one to the same origin: a cache must not give a picture that
    an <img> fetched without the mark to a script that needs it.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self.app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=["*"],  # whichever a preflight names: SDKs send many of their own
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header("Origin")
            await send(message)

        await self.app(scope, receive, send_varied if scope["type"] == "http" else send)
