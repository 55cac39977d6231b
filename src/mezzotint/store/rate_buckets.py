"""Leaky buckets by name: in this process, or in Valkey for several gateways that share their limits."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import structlog

from mezzotint.policy.rate_limit import Allowed, Limited, Rate, check_rate

MAX_BUCKETS = 100_000
"""Kept in a process; beyond it the longest unused go, which forgives their owners what they used."""
log = structlog.get_logger()


class RateBuckets(Protocol):
    async def pour(self, name: str, rate: Rate) -> Allowed | Limited: ...

    async def close(self) -> None: ...


class LocalBuckets:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    async def pour(self, name: str, rate: Rate) -> Allowed | Limited:
        outcome = check_rate(self._empty_at.get(name, 0.0), self._clock(), rate)
        if isinstance(outcome, Allowed):
            self._empty_at[name] = outcome.empty_at
            self._empty_at.move_to_end(name)
            if len(self._empty_at) > MAX_BUCKETS:
                self._empty_at.popitem(last=False)
        return outcome

    async def close(self) -> None:
        self._empty_at.clear()


SCRIPT = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local spacing, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local start = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local room = burst * spacing - (start + spacing - now)
if room < -1e-6 then return {'0', tostring(-room), tostring(start - now)} end
local empty_at = start + spacing
redis.call('SET', KEYS[1], string.format('%.6f', empty_at), 'PX', math.ceil((empty_at - now) * 1000) + 1000)
return {'1', tostring(room), tostring(empty_at - now)}
"""
"""`pour`, in one step on the server and by the server's clock: gateways' clocks and races do not matter."""


class ValkeyBuckets:
    """Raises at construction: ImportError without the package `valkey`."""

    def __init__(self, url: str, prefix: str = "mezzotint:bucket:") -> None:
        from valkey.asyncio import Valkey
        from valkey.exceptions import ValkeyError

        self._client = Valkey.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
        self._script = self._client.register_script(SCRIPT)
        self._faults = (ValkeyError, OSError)
        self._prefix = prefix
        self._here = LocalBuckets()

    async def pour(self, name: str, rate: Rate) -> Allowed | Limited:
        """While the server is away each gateway counts by itself: limits grow laxer, nobody is turned away for it."""
        try:
            passed, first, reset = await self._script(keys=[self._prefix + name], args=[rate.spacing_s, rate.burst])
        except self._faults as error:
            log.warning("valkey does not answer; limits are kept in this process", why=str(error))
            return await self._here.pour(name, rate)
        if int(passed):
            remaining = int(float(first) / rate.spacing_s + 1e-6)
            return Allowed(empty_at=0.0, remaining=remaining, reset_s=float(reset))
        return Limited(retry_s=float(first), reset_s=float(reset))

    async def close(self) -> None:
        await self._client.aclose()
