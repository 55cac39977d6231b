"""Limits how fast credentials can be guessed: wrong ones are counted for each network.

A network that sent too many must wait before it may send another. Credentials of that network that were right before
go on working, so a guesser does not stop others behind the same address. No other network is affected, so nobody can
lock a key or a token out from afar.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from mezzotint.domain.claims import Claims
from mezzotint.gateway.errors import ApiError
from mezzotint.gateway.rate_limits import RateLimits, find_limit_key
from mezzotint.policy.rate_limit import Limited, Rate
from mezzotint.store.digest import digest

WRONG_FROM_NETWORK = Rate(num=60, period_s=300, burst=60)
MAX_RIGHT, MAX_WAITING = 20_000, 10_000
"""Entries that one process keeps; beyond, it forgets the oldest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuessLimits:
    """right: digests of networks with credentials that were right. waiting: network -> time of the clock until which it
    must wait."""

    right: OrderedDict[str, None] = field(default_factory=OrderedDict)
    waiting: OrderedDict[str, float] = field(default_factory=OrderedDict)
    clock: Callable[[], float] = time.monotonic

    def remember(self, connection: HTTPConnection, secret: str) -> None:
        """Let the credential work from its network, whatever others there send."""
        known = digest(f"{find_limit_key(connection)} {secret}")
        self.right[known] = None
        self.right.move_to_end(known)
        if len(self.right) > MAX_RIGHT:
            self.right.popitem(last=False)

    def check(self, connection: HTTPConnection, secret: str) -> None:
        """Answers 429 to a network that must wait, unless the credential was right before."""
        network = find_limit_key(connection)
        wait_s = self.waiting.get(network or "", 0.0) - self.clock()
        if wait_s > 0 and digest(f"{network} {secret}") not in self.right:
            raise too_many_guesses_error(wait_s)

    async def count(self, rate_limits: RateLimits, connection: HTTPConnection, secret: str) -> None:
        """Count a wrong credential. Answers 429 when its network shows too many."""
        network = find_limit_key(connection)
        self.right.pop(digest(f"{network} {secret}"), None)
        if network is None:
            return
        outcome = await rate_limits.buckets.pour(f"wrong-credentials:{network}", WRONG_FROM_NETWORK)
        if isinstance(outcome, Limited):
            self.waiting[network] = self.clock() + outcome.retry_s
            self.waiting.move_to_end(network)
            if len(self.waiting) > MAX_WAITING:
                self.waiting.popitem(last=False)
            raise too_many_guesses_error(outcome.retry_s)


def too_many_guesses_error(wait_s: float) -> ApiError:
    seconds = max(1, math.ceil(wait_s))
    hint = f"Too many wrong credentials came from your network. Wait {seconds} s."
    return ApiError("rate_limited", hint=hint, retry_after_s=seconds)


async def check_credential(
    guess_limits: GuessLimits,
    rate_limits: RateLimits,
    connection: HTTPConnection,
    secret: str,
    read: Callable[[str], Awaitable[Claims]],
) -> Claims:
    """Read the secret's claims with `read`, and count the secret if that answers 401. Answers 429 beyond the limit."""
    guess_limits.check(connection, secret)
    try:
        claims = await read(secret)
    except ApiError as answer:
        if answer.status == 401:
            await guess_limits.count(rate_limits, connection, secret)
        raise
    guess_limits.remember(connection, secret)
    return claims
