"""Requests to addresses that users name, without letting them reach what only this machine can reach.

The name is resolved here, every address it has must be a public one, and the connection goes to an address that was
checked: a name that answers differently the second time (DNS rebinding) gains nothing. No redirect is followed, no
proxy of the environment used, no body of an answer read. An operator may name what is allowed inside.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpcore

from mezzotint.policy.addresses import Address, is_public

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_URL = 2000
CONNECT_S, ANSWER_S = 5.0, 10.0


class Unreachable(Exception):
    """The address is not allowed, or nobody answers there; the message is for the address's owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """Private targets that the operator allows."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, names: str) -> "Inside":
        """From host names and networks with commas between."""
        hosts, networks = set(), []
        for name in (part.strip().lower() for part in names.split(",")):
            try:
                networks.append(ipaddress.ip_network(name))
            except ValueError:
                hosts.add(name)
        return cls(hosts=frozenset(hosts - {""}), networks=tuple(networks))

    def allows(self, host: str, address: Address | None) -> bool:
        """address: None while it is not known."""
        is_near = address is not None and any(address in network for network in self.networks)
        return host.lower() in self.hosts or is_near


async def resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    return [str(found[4][0]) for found in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The way out. resolve: (host, port) -> addresses."""

    inside: Inside = field(default_factory=Inside)
    resolve: Callable[[str, int], Awaitable[list[str]]] = resolve

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """Send and return the status. Raises: Unreachable."""
        if fault := self.fault_of(url):
            raise Unreachable(fault)
        timeout = {"connect": CONNECT_S, "read": ANSWER_S, "write": ANSWER_S, "pool": CONNECT_S}
        extensions = {"timeout": timeout}
        pool = httpcore.AsyncConnectionPool(ssl_context=ssl.create_default_context(), network_backend=_Checked(self))
        try:
            async with asyncio.timeout(CONNECT_S + ANSWER_S), pool:
                wanted = pool.stream("POST", url, headers=list(headers.items()), content=body, extensions=extensions)
                async with wanted as answer:
                    return int(answer.status)
        except TimeoutError as error:
            raise Unreachable("no answer in time") from error
        except (OSError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise Unreachable(f"{type(error).__name__}: {str(error)[:120]}") from error

    def fault_of(self, url: str) -> str | None:
        """What is wrong with an address as it is written; where its name leads is seen at each try."""
        if len(url) > MAX_URL or not url.isascii() or any(letter.isspace() or letter < "!" for letter in url):
            return f"Use at most {MAX_URL} ASCII characters without spaces."
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "It is not a URL."
        if not parts.hostname or "@" in parts.netloc or port == 0:
            return "Use https://host/path, without a user or password."
        literal = literal_of(parts.hostname)
        is_inside = self.inside.allows(parts.hostname, literal)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_inside):
            return "Use https."
        return "The address is private." if literal and not is_public(literal) and not is_inside else None

    def may_reach(self, host: str, address: Address) -> bool:
        return is_public(address) or self.inside.allows(host, address)


def literal_of(host: str) -> Address | None:
    """The address that is written out as a host; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await self._outside.resolve(host, port)
        for address in found:
            if not self._outside.may_reach(host, ipaddress.ip_address(address.partition("%")[0])):
                raise Unreachable("The name leads to a private address.")
        if not found:
            raise Unreachable("The name has no address.")
        return await self._network.connect_tcp(found[0], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise Unreachable("not an address of the network")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
