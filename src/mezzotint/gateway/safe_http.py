"""An HTTP client for URLs that users name, which reaches public addresses alone (no SSRF).

It resolves the name itself, requires that every address is public, and connects to an address that it checked: a name
that resolves differently the second time (DNS rebinding) gains nothing. It follows no redirect, uses no proxy of the
environment and reads no body. An operator's allowlist may name private targets.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

import httpcore
import idna

from mezzotint.policy.addresses import Address, is_public

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_URL = 2000
MAX_NAME = 253
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""Matches a last label that resolvers would read as part of an IPv4 address."""
CONNECT_S, ANSWER_S = 5.0, 10.0
RESOLVERS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="resolve")
read_certificates = cache(ssl.create_default_context)
"""Read the machine's authorities, once: reading them would delay other requests."""


class Unreachable(Exception):
    """The URL is not allowed, or nobody answers there; the message is for the URL's owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowlist:
    """Private targets that the operator allows."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, names: str) -> "Allowlist":
        """From host names and networks with commas between."""
        hosts, networks = set(), []
        for name in (part.strip().lower() for part in names.split(",")):
            try:
                networks.append(ipaddress.ip_network(name))
            except ValueError:
                hosts.add(name)
        return cls(hosts=frozenset(hosts - {""}), networks=tuple(networks))

    def allows(self, host: str, address: Address | None) -> bool:
        """address: None until it is resolved."""
        is_near = address is not None and any(address in network for network in self.networks)
        return host.lower() in self.hosts or is_near


async def resolve(host: str, port: int) -> list[str]:
    """Resolve a name in threads of its own: a name server that does not answer holds one long after the timeout."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return [str(found[4][0]) for found in await asyncio.get_running_loop().run_in_executor(RESOLVERS, ask)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicOnlyClient:
    """An HTTP client. resolve: (host, port) -> addresses."""

    allowlist: Allowlist = field(default_factory=Allowlist)
    resolve: Callable[[str, int], Awaitable[list[str]]] = resolve

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """Send and return the status. Raises: Unreachable."""
        if fault := self.find_url_fault(url):
            raise Unreachable(fault)
        timeout = {"connect": CONNECT_S, "read": ANSWER_S, "write": ANSWER_S, "pool": CONNECT_S}
        extensions = {"timeout": timeout}
        pool = httpcore.AsyncConnectionPool(ssl_context=read_certificates(), network_backend=_CheckedNetwork(self))
        try:
            async with asyncio.timeout(CONNECT_S + ANSWER_S), pool:
                wanted = pool.stream("POST", url, headers=list(headers.items()), content=body, extensions=extensions)
                async with wanted as answer:
                    return int(answer.status)
        except TimeoutError as error:
            raise Unreachable("no answer in time") from error
        except (
            OSError,
            UnicodeError,  # of a host that no resolver takes
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
        ) as error:
            raise Unreachable(f"{type(error).__name__}: {str(error)[:120]}") from error

    def find_url_fault(self, url: str) -> str | None:
        """The fault of a URL as it is written; None: it has none. Its name is resolved and checked at each request."""
        if len(url) > MAX_URL or not all("!" <= letter <= "~" for letter in url):
            return f"Use at most {MAX_URL} ASCII characters without spaces."
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "It is not a URL."
        if not parts.hostname or "@" in parts.netloc or port == 0:
            return "Use https://host/path, without a user or password."
        literal = parse_literal(parts.hostname)
        if literal is None and (fault := find_name_fault(parts.hostname, is_bracketed="[" in parts.netloc)):
            return fault
        is_inside = self.allowlist.allows(parts.hostname, literal)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_inside):
            return "Use https."
        return "The address is private." if literal and not is_public(literal) and not is_inside else None

    def may_reach(self, host: str, address: Address) -> bool:
        return is_public(address) or self.allowlist.allows(host, address)


def find_name_fault(host: str, *, is_bracketed: bool = False) -> str | None:
    """The fault of a host that is no IP address as a DNS name; None: it has none. Source: RFC 1035 2.3.4, RFC 5891."""
    if is_bracketed:
        return "Between [ and ] goes an IPv6 address, without a zone."
    labels = host.removesuffix(".").split(".")
    if len(host.removesuffix(".")) > MAX_NAME:
        return f"The host is longer than the {MAX_NAME} characters that a DNS name may have."
    if not all(LABEL.fullmatch(label) for label in labels):
        return "Each part of the host between dots has 1 to 63 letters, digits and inner hyphens."
    if NUMBER.fullmatch(labels[-1]):
        return "Write an IPv4 address with four decimal numbers."
    try:
        for label in labels:
            if label.startswith("xn--"):
                idna.decode(label)
    except UnicodeError:
        return "A part of the host that begins with xn-- is no internationalised name."
    return None


def parse_literal(host: str) -> Address | None:
    """Parse a host that is an IP address without a zone; None: it is none."""
    if "%" in host:
        return None
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses alone."""

    def __init__(self, http_client: PublicOnlyClient) -> None:
        self._http_client = http_client
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await self._http_client.resolve(host, port)
        for address in found:
            if not self._http_client.may_reach(host, ipaddress.ip_address(address.partition("%")[0])):
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
