"""Limits open connections: their number, in all and for each client, and how long a client may be idle."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from mezzotint.gateway.network.addresses import limit_key, read_address
from mezzotint.gateway.network.forwarded import TrustedProxies
from mezzotint.metrics import Metrics

SEND_PATIENCE = 3
"""Multiple of `client_timeout_s` within which a client must take `SENT_BYTES`: networks stall."""
SENT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """in_all, per_address: most open connections; per_address 0 is no limit, and this machine and trusted proxies have
    none. client_timeout_s: how long a client may take for a whole head, from its connection or the head's first byte
    on. keep_alive_s: how long a connection may be idle after an answer.
    unsent_bytes: of answers, that clients have not taken; beyond it the connections with most of them are ended.
    """

    in_all: int = 512
    per_address: int = 200
    client_timeout_s: float = 10.0
    keep_alive_s: float = 75.0
    unsent_bytes: int = 256 * 2**20
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    is_this_machine_free: bool = True


@dataclass(slots=True, eq=False, kw_only=True)
class _Connection:
    """key: by which it is counted; None: it is not. The times are of the loop's clock.

    waiting_since: set while no request is under way. is_kept: it waits after an answer, and nothing came since.
    send_since: when the client last took enough of the `send_bytes` that waited for it. closing_since: set once the
    transport closes, which it does not end while bytes wait.
    """

    key: str | None
    end: Callable[[], None]
    send_since: float
    send_bytes: int = 0
    waiting_since: float | None = None
    is_kept: bool = False
    closing_since: float | None = None


@dataclass(slots=True, kw_only=True)
class OpenConnections:
    """Every open connection of one server. Belongs to one event loop."""

    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    metrics: Metrics = field(default_factory=Metrics)
    _open: dict[asyncio.Transport, _Connection] = field(default_factory=dict)
    _waiting: dict[asyncio.Transport, None] = field(default_factory=dict)
    """In the order in which they began to wait."""
    _by_key: dict[str, set[asyncio.Transport]] = field(default_factory=lambda: defaultdict(set))
    _sweeper: asyncio.TimerHandle | None = None

    def admit(self, transport: asyncio.Transport, host: str, end: Callable[[], None]) -> bool:
        """Admit a new connection. If there is no room, the connection that was idle longest is closed; returns False
        if none is idle. end: called when the connection was idle too long."""
        key = self._key(host)
        of_key = self._by_key.get(key, set()) if key is not None else set()
        has_room = not 0 < self.limits.per_address <= len(of_key) or self._make_room(
            sorted(of_key & self._waiting.keys(), key=lambda one: self._open[one].waiting_since or 0.0)
        )
        if not has_room or not (len(self._open) < self.limits.in_all or self._make_room(self._waiting)):
            self.metrics.connections_ended.labels(why="refused").inc()
            return False
        self._open[transport] = _Connection(key=key, end=end, send_since=self._now())
        if key is not None:
            self._by_key[key].add(transport)
        self.wait(transport)
        if self._sweeper is None:
            self._sweep()
        self._count()
        return True

    def wait(self, transport: asyncio.Transport, *, is_kept: bool = False) -> None:
        """Note that no request is running: the client must begin one in time, a part of whose head may be there.

        is_kept: an answer was sent, and nothing came since.
        """
        one = self._open.get(transport)
        if one is not None and (one.waiting_since is None or (one.is_kept and not is_kept)):
            one.waiting_since, one.is_kept = self._now(), is_kept
            self._waiting[transport] = None

    def serve(self, transport: asyncio.Transport) -> None:
        """Note that a request is running, or that the connection became a WebSocket: no idle timeout holds."""
        one = self._open.get(transport)
        if one is not None:
            one.waiting_since = None
            self._waiting.pop(transport, None)

    def release(self, transport: asyncio.Transport) -> None:
        one = self._open.pop(transport, None)
        self._waiting.pop(transport, None)
        if one is not None and one.key is not None:
            of_key = self._by_key[one.key]
            of_key.discard(transport)
            if not of_key:
                del self._by_key[one.key]
        self._count()

    def _key(self, host: str) -> str | None:
        address = read_address(host)
        if address is None:
            return "unknown"
        is_free = address.is_loopback and self.limits.is_this_machine_free
        return None if is_free or self.limits.proxies.trusts(address) else limit_key(address)

    def _make_room(self, waiting: Collection[asyncio.Transport]) -> bool:
        """End the first of them. Returns False if there is none."""
        oldest = next(iter(waiting), None)
        if oldest is None:
            return False
        self._abort(oldest, "made_room")
        return True

    def _sweep(self) -> None:
        """End connections that were idle too long, periodically while any is open."""
        now = self._now()
        for transport, one in list(self._open.items()):
            self._look_at(transport, one, now)
        self._bound_unsent()
        timeout_s = self.limits.client_timeout_s
        self._sweeper = None
        if self._open:
            self._sweeper = asyncio.get_running_loop().call_later(min(1.0, timeout_s / 4), self._sweep)

    def _look_at(self, transport: asyncio.Transport, one: _Connection, now: float) -> None:
        timeout_s = self.limits.client_timeout_s
        idle_s = self.limits.keep_alive_s if one.is_kept else timeout_s
        if transport.is_closing():
            one.closing_since = one.closing_since or now
            if now - one.closing_since > timeout_s:
                self._abort(transport, "not_closed")
        elif one.waiting_since is not None and now - one.waiting_since > idle_s:
            self.serve(transport)
            self.metrics.connections_ended.labels(why="no_request").inc()
            one.end()
        elif self._is_stuck(transport, one, now):
            self._abort(transport, "not_read")

    def _is_stuck(self, transport: asyncio.Transport, one: _Connection, now: float) -> bool:
        """Say whether the client stopped taking what was written for it."""
        size = transport.get_write_buffer_size()
        if size == 0 or size <= one.send_bytes - SENT_BYTES:
            one.send_bytes, one.send_since = size, now
        one.send_bytes = max(one.send_bytes, size)
        return now - one.send_since > SEND_PATIENCE * self.limits.client_timeout_s

    def _bound_unsent(self) -> None:
        """Bound the memory of unsent responses: many slow readers of large pictures would fill it."""
        sizes = {transport: transport.get_write_buffer_size() for transport in self._open}
        total = sum(sizes.values())
        for transport in sorted(sizes, key=sizes.__getitem__, reverse=True) if total > self.limits.unsent_bytes else ():
            self._abort(transport, "not_read")
            total -= sizes[transport]
            if total <= self.limits.unsent_bytes:
                break

    def _abort(self, transport: asyncio.Transport, why: str) -> None:
        """Close at once, whatever waits to be sent. Its place is free from now on."""
        self.metrics.connections_ended.labels(why=why).inc()
        self.release(transport)
        transport.abort()

    def _count(self) -> None:
        self.metrics.connections.set(len(self._open))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
