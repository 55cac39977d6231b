"""The methods that an address takes, for `Allow` and for telling 404 from 405."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

READ = frozenset({"GET", "HEAD"})
METHODS = {"GET": READ, "POST": {"POST"}, "PUT": {"PUT"}, "PATCH": {"PATCH"}, "DELETE": {"DELETE"}}


def find_allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> frozenset[str]:
    """The methods that routes take at the address of a request."""
    served = [route for route in routes if not isinstance(route, Mount)]
    return frozenset(
        name
        for method, names in METHODS.items()
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in served)
        for name in names
    )
