"""The built page: its files compressed, and whatever no route serves refused as the API that was called would do it."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from mezzotint.gateway.allowed_methods import READ, find_allowed_methods
from mezzotint.gateway.routes import images


class Page(StaticFiles):
    """Hashed assets for ever, everything else asked for anew, so that an upgrade is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            is_file = self.lookup_path(path)[1] is not None
        except OSError:  # no file system has so long a name
            is_file = False
        if scope["method"] not in READ or not is_file:
            allowed = find_allowed_methods(scope["app"].routes, scope) or (READ if is_file else frozenset())
            if allowed:
                raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = images.IMMUTABLE if path.startswith("assets/") else "no-cache"
        if "etag" in response.headers:  # weak: the same file is sent compressed or not
            response.headers["ETag"] = f"W/{response.headers['etag']}"
        return response


class CompressedPage:
    """The page, compressed for those who take it; a range is of the file's own bytes."""

    def __init__(self, directory: Path) -> None:
        self._page = Page(directory=directory, html=True)
        self._compressed: ASGIApp = GZipMiddleware(self._page)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_range = any(name == b"range" for name, _ in scope.get("headers", ()))
        await (self._page if has_range else self._compressed)(scope, receive, send)
