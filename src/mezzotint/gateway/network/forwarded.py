"""Reads X-Forwarded-For, -Proto, -Host and -Prefix, from trusted proxies alone."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Self

from starlette.types import ASGIApp, Receive, Scope, Send

from mezzotint.gateway.network.addresses import Address, read_address, read_forwarded
from mezzotint.gateway.network.hosts import read_host_name
from mezzotint.gateway.network.path_prefix import FORWARDED_PREFIX, read_prefix

MAX_HOPS = 32
"""Entries of X-Forwarded-For that are read, from the last; no chain of proxies is longer."""
FORWARDED = "was_forwarded"
"""Key of a request's state: a trusted proxy speaks for somebody else, so the limits count even a loopback address."""
SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedProxies:
    """trusts_all: every peer is a proxy (`*`); then only the last entry is believed, which that proxy wrote."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    trusts_all: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """From addresses and networks, comma-separated, or `*`. Raises: ValueError."""
        names = [name.strip() for name in text.split(",") if name.strip()]
        if names == ["*"]:
            return cls(trusts_all=True)
        return cls(networks=tuple(ip_network(name, strict=False) for name in names))

    def trusts(self, address: Address) -> bool:
        return self.trusts_all or any(address in network for network in self.networks)

    def find_client(self, peer: Address, forwarded: Sequence[str]) -> Address:
        """The client behind a trusted peer: the last entry that is no trusted proxy.

        Anybody can write the entries further left. If the entry that counts cannot be read, the client is the peer.
        """
        if self.trusts_all:
            return (read_forwarded(forwarded[-1]) if forwarded else None) or peer
        client = peer
        for entry in reversed(forwarded[-MAX_HOPS:]):
            address = read_forwarded(entry)
            if address is None:
                return peer
            client = address
            if not self.trusts(address):
                return client
        return client if len(forwarded) <= MAX_HOPS else peer


class ForwardedClient:
    """Puts the client's own address, scheme, Host and path prefix into each request's scope, the address in one form
    whatever the socket's family."""

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self.app, self.proxies = app, proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = read_address(scope["client"][0]) if scope.get("client") else None
        if peer is not None:
            scope["client"] = (str(peer), scope["client"][1])
            if self.proxies.trusts(peer):
                self._believe(scope, peer)
        await self.app(scope, receive, send)

    def _believe(self, scope: Scope, peer: Address) -> None:
        schemes = _read_last(scope, b"x-forwarded-proto").encode()
        if schemes in SCHEMES:
            scheme = SCHEMES[schemes]
            scope["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        if values:
            client = self.proxies.find_client(peer, ",".join(values).split(","))
            scope["client"] = (str(client), 0)
            scope.setdefault("state", {})[FORWARDED] = True
        host = _read_last(scope, b"x-forwarded-host")
        if read_host_name(host) is not None:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [(b"host", host.encode()), *others]
        with suppress(ValueError):
            if prefix := read_prefix(_read_last(scope, b"x-forwarded-prefix")):
                scope.setdefault("state", {})[FORWARDED_PREFIX] = prefix


def _read_last(scope: Scope, name: bytes) -> str:
    """The last entry of a header, which the nearest proxy wrote; empty where there is none."""
    values = [value.decode("latin-1") for found, value in scope["headers"] if found == name]
    return ",".join(values).rpartition(",")[2].strip()
