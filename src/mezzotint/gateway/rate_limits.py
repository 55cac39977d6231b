"""Rate limits: by address before anything else, by tenant after authentication, and a slower one for signing in.

Requests with a body that are refused are counted once more, by a slower rate: a program that sends many of them is
broken or means harm, and reading prompts and pictures is what costs most. Beyond that rate the caller's next ones are
answered 429 before their prompts and pictures are looked at; requests that only read go on.

The response of a counted request tells the limit's state in `RateLimit-Limit`, `-Remaining`, `-Reset` and `-Policy`
(draft-ietf-httpapi-ratelimit-headers-06); a 429 also has `Retry-After`.
"""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mezzotint.domain.claims import Claims
from mezzotint.domain.tier import limits_of
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.network.addresses import limit_key, read_address
from mezzotint.gateway.network.forwarded import FORWARDED
from mezzotint.policy.rate_limit import Allowed, Limited, Rate
from mezzotint.store import LocalBuckets, RateBuckets

SIGN_IN_FROM_NETWORK = Rate(num=20, period_s=300, burst=20)
SIGN_IN_TO_NAME = Rate(num=30, period_s=3600, burst=10)
"""Counted for each network: strangers elsewhere cannot use up the tries of the name's owner."""
APPEALS = Rate(num=20, period_s=3600, burst=10)
"""Appeals of one owner: people read each of them."""
REFUSED_SHARE = 0.1
"""Share of a caller's rate at which its requests may be refused; at once as many as requests."""
REFUSED = frozenset({400, 403, 408, 413, 415, 422})
"""Statuses that count as refused. Wrong credentials (401) have limits of their own; 404, 409 and 429 cost little."""
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
MAX_WAITING = 10_000
"""Callers that a process keeps waiting; beyond it the first ones go on."""
STATE, CALLERS = "rate_limit", "callers"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """scale: multiplies the tiers' rates; 0 lifts them. per_address: requests a minute; 0 lifts the limit.

    waiting: caller -> time of the clock until which its requests with a body are answered 429.
    """

    buckets: RateBuckets = field(default_factory=LocalBuckets)
    scale: float = 1.0
    per_address: int = 1200
    streams: Counter[str] = field(default_factory=Counter)
    waiting: OrderedDict[str, float] = field(default_factory=OrderedDict)
    clock: Callable[[], float] = time.monotonic

    async def count_address(self, connection: HTTPConnection) -> None:
        """Answers 429. This machine itself is not limited: a proxy on it speaks for everybody."""
        address = find_limit_key(connection)
        if self.per_address and address is not None:
            await self._count(connection, f"address:{address}", Rate(num=self.per_address, period_s=60, burst=300))

    async def count_tenant(self, connection: HTTPConnection, claims: Claims) -> None:
        """Answers 429."""
        if self.scale:
            limits = limits_of(claims.tier)
            burst = max(1, round(limits.request_burst * self.scale))
            rate = Rate(num=limits.requests_per_minute * self.scale, period_s=60, burst=burst)
            await self._count(connection, f"tenant:{claims.tenant}:{claims.tier}", rate)

    async def count_sign_in(self, connection: HTTPConnection, name: str) -> None:
        """Limit password guesses: from one network, and at one name from one network. Answers 429."""
        network = find_limit_key(connection)
        if network is not None:
            await self._pour(connection, f"sign-in:{network}", SIGN_IN_FROM_NETWORK)
        await self._pour(connection, f"sign-in-to:{network or 'this machine'}:{name}", SIGN_IN_TO_NAME)

    async def count_appeal(self, connection: HTTPConnection, claims: Claims) -> None:
        """Answers 429."""
        await self._pour(connection, f"appeal:{claims.tenant}:{claims.owner}", APPEALS)

    @contextmanager
    def stream(self, claims: Claims) -> Iterator[None]:
        """Hold one of the tenant's streams (events, socket, long poll). Answers 429 beyond the tier's limit."""
        most = limits_of(claims.tier).max_streams * max(self.scale, 1.0)
        if self.scale and self.streams[claims.tenant] >= most:
            hint = f"The {claims.tier} tier may have {most:g}; close one, or watch all jobs through /v1/ws."
            raise ApiError("too_many_streams", hint=hint)
        self.streams[claims.tenant] += 1
        try:
            yield
        finally:
            self.streams[claims.tenant] -= 1
            if not self.streams[claims.tenant]:
                del self.streams[claims.tenant]

    async def count_refused(self, scope: Scope, status: int) -> None:
        """Count an answer, for each caller that the request was counted for."""
        if status not in REFUSED or scope.get("method") not in WITH_BODY:
            return
        for caller, rate in scope.get("state", {}).get(CALLERS, ()):
            slower = Rate(num=rate.num * REFUSED_SHARE, period_s=rate.period_s, burst=rate.burst)
            outcome = await self.buckets.pour(f"refused:{caller}", slower)
            if isinstance(outcome, Limited) or not outcome.remaining:
                wait_s = outcome.retry_s if isinstance(outcome, Limited) else slower.spacing_s
                self.waiting[caller] = self.clock() + wait_s
                self.waiting.move_to_end(caller)
                if len(self.waiting) > MAX_WAITING:
                    self.waiting.popitem(last=False)

    async def _count(self, connection: HTTPConnection, caller: str, rate: Rate) -> None:
        """Count a request of this caller. Answers 429, also where too many of its requests were refused."""
        scope = connection.scope
        scope.setdefault("state", {}).setdefault(CALLERS, []).append((caller, rate))
        left_s = self.waiting.get(caller, 0.0) - self.clock()
        if left_s > 0 and scope.get("method") in WITH_BODY:
            wait_s = math.ceil(left_s)
            hint = f"Too many of your requests were refused: mend them, and wait {wait_s} s."
            raise ApiError("rate_limited", hint=hint, retry_after_s=wait_s)
        await self._pour(connection, caller, rate)

    async def _pour(self, connection: HTTPConnection, name: str, rate: Rate) -> None:
        outcome = await self.buckets.pour(name, rate)
        connection.scope.setdefault("state", {})[STATE] = format_headers(outcome, rate)
        if isinstance(outcome, Limited):
            wait_s = max(1, math.ceil(outcome.retry_s))
            raise ApiError("rate_limited", hint=f"Wait {wait_s} s.", retry_after_s=wait_s)


def find_limit_key(connection: HTTPConnection) -> str | None:
    """The key by which limits count the client; None: this machine itself, which is not limited."""
    address = read_address(connection.client.host if connection.client else "")
    if address is None:
        return "unknown"
    if address.is_loopback and not connection.scope.get("state", {}).get(FORWARDED):
        return None
    return limit_key(address)


def format_headers(outcome: Allowed | Limited, rate: Rate) -> dict[str, str]:
    remaining = outcome.remaining if isinstance(outcome, Allowed) else 0
    return {
        "RateLimit-Limit": str(rate.burst),
        "RateLimit-Remaining": str(remaining),
        "RateLimit-Reset": str(math.ceil(outcome.reset_s)),
        "RateLimit-Policy": f"{rate.num:g};w={rate.period_s:g};burst={rate.burst}",
    }


class RateLimitMiddleware:
    """Counts each request by its address, and puts the headers of the last count on the response."""

    def __init__(self, app: ASGIApp, rate_limits: RateLimits) -> None:
        self.app, self.rate_limits = app, rate_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self.rate_limits.count_refused(scope, message["status"])
                MutableHeaders(scope=message).update(scope.get("state", {}).get(STATE, {}))
            await send(message)

        try:
            await self.rate_limits.count_address(HTTPConnection(scope))
        except ApiError as answer:
            await answer.response()(scope, receive, with_headers)
            return
        await self.app(scope, receive, with_headers)
