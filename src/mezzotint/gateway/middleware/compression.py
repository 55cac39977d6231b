"""Compressed answers of the API, for those routes whose answers are long and hold no secret.

The length of a compressed answer tells what two parts of it have in common. Where one part is a secret and another
comes from whoever makes the caller ask (a name, a query), the secret can be guessed letter by letter (BREACH). So a
route is named here only if its answer holds no token, key, password or webhook secret: keys, webhooks, sign-in and
sessions are not. Nor are streams, which would be held back, and pictures in base64, of which gzip would spare a quarter
for much work on the loop.
"""

import re

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

COMPRESSED = re.compile(
    r"/openapi\.json|/metrics|/v1/(?:jobs|images|models?|usage|admin/(?:jobs|tenants))"
    r"|/sdapi/v1/(?:sd-models|samplers)"
)
"""Paths whose answers to GET are compressed."""
MIN_BYTES = 1024
LEVEL = 4
"""zlib's effort; the description of this API becomes an eighth."""


class Compression:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._compressed = GZipMiddleware(app, MIN_BYTES, LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_named = scope["type"] == "http" and scope["method"] == "GET" and COMPRESSED.fullmatch(scope["path"])
        await (self._compressed if is_named else self.app)(scope, receive, send)
