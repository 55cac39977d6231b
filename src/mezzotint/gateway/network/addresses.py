"""Reads clients' IP addresses, and gives the key by which limits count them."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address
CUSTOMER_PREFIX = 64
"""Bits of an IPv6 address that a provider gives to one customer (RFC 6177)."""


MAX_TEXT = 64
"""Longer texts are no addresses, and are not remembered."""


def read_address(text: str) -> Address | None:
    """The IP address in the text; None where it is none.

    An IPv4 client of a socket that listens on `::` has an IPv4-mapped address (`::ffff:192.0.2.1`): it is read as the
    IPv4 address, so that one client has one address. The zone of a link-local address is dropped.
    """
    return _read(text) if len(text) <= MAX_TEXT else None


@lru_cache(maxsize=4096)
def _read(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def read_forwarded(text: str) -> Address | None:
    """The IP address in one entry of X-Forwarded-For, with or without a port; None where there is none."""
    text = text.strip()
    if text.startswith("["):
        inner, bracket, port = text[1:].partition("]")
        is_whole = bracket and (not port or (port.startswith(":") and _is_port(port[1:])))
        return read_address(inner) if is_whole and ":" in inner else None
    host, colon, port = text.partition(":")
    if colon and ":" not in port:
        return read_address(host) if _is_port(port) else None
    return read_address(text)


def limit_key(address: Address) -> str:
    """The key by which limits count an address: an IPv4 address, or the customer's network of an IPv6 address."""
    if address.version == 4:
        return str(address)
    return str(ip_network((address, CUSTOMER_PREFIX), strict=False))


def is_loopback(host: str) -> bool:
    """Say whether a host name or an address is this machine for certain, whatever a name server says."""
    if host == "localhost":
        return True
    address = read_address(host)
    return address is not None and address.is_loopback


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:6]) <= 65_535
