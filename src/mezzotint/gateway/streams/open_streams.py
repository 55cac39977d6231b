"""Ends open streams when their credential ends, and when the server stops.

A caller is authenticated once, and a stream may then be open for hours. So the credentials of all open streams are read
again every `CHECK_S`, hundreds in one query, and at once after this gateway changed one. The streams of a credential
that ended, or that lost a scope, are ended.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from mezzotint.domain.claims import Claims, Via
from mezzotint.gateway.errors import ApiError

CHECK_S = 2.0
AT_ONCE = 500
"""Credentials in one query."""
CODES = {Via.TOKEN: "token_invalid", Via.KEY: "key_invalid", Via.SESSION: "session_invalid"}
"""The error code of a credential that ended."""
RefreshClaims = Callable[[Sequence[Claims]], Awaitable[Sequence[Claims | None]]]
"""Reads again the claims of credentials, in their order; None for one that ended."""


class OpenStreams:
    """changed: set after a credential changed, so that all are checked at once."""

    def __init__(self) -> None:
        self._scopes: dict[Claims, set[asyncio.Timeout]] = defaultdict(set)
        self.changed = asyncio.Event()
        self._is_stopping = False

    @asynccontextmanager
    async def while_valid(self, claims: Claims, now: datetime) -> AsyncIterator[None]:
        """Cancel the block when the credential ends (answers 401 then) or the server stops (503)."""
        left_s = None if claims.expires_at is None else max(0.0, (claims.expires_at - now).total_seconds())
        if self._is_stopping:
            left_s = 0.0
        try:
            async with asyncio.timeout(left_s) as scope:
                self._scopes[claims].add(scope)
                try:
                    yield
                finally:
                    if claims in self._scopes:
                        self._scopes[claims].discard(scope)
                        if not self._scopes[claims]:
                            del self._scopes[claims]
        except TimeoutError:
            if not scope.expired():
                raise
            if self._is_stopping:
                raise ApiError("server_stopping", hint="Connect again in a few seconds; jobs go on.") from None
            code = CODES[claims.via]
            raise ApiError(code, hint="Sign in again, or send a credential that is valid.") from None

    async def check(self, refresh_claims: RefreshClaims) -> None:
        """End the streams whose credential ended or lost a scope since they were opened."""
        opened = list(self._scopes)
        for start in range(0, len(opened), AT_ONCE):
            some = opened[start : start + AT_ONCE]
            for claims, present in zip(some, await refresh_claims(some), strict=True):
                if not claims.is_covered_by(present):
                    self._end(claims)

    def end_all(self) -> None:
        """End the streams that are open, and at once those that are opened later: the server stops."""
        self._is_stopping = True
        for claims in list(self._scopes):
            self._end(claims)

    def _end(self, claims: Claims) -> None:
        for scope in self._scopes.pop(claims, ()):
            scope.reschedule(asyncio.get_running_loop().time())
