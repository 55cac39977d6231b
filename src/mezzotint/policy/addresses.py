"""Tell public addresses, to which a tenant may have this server connect, from all others.

Decided by what is global unicast, not by a list of bad addresses: in IPv6 that is 2000::/3 alone (RFC 4291, IANA's
"Global Unicast" allocation). Out of it, and out of IPv4, go all entries of IANA's special-purpose address registries
(RFC 6890, read in 2026), also those marked "globally reachable": the anycast ones (PCP, TURN, AMT, AS112) lead to what
is near this machine, and no webhook's receiver lives there.
"""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""The well-known prefix (RFC 6052): what DNS64 answers where this machine has IPv6 alone. Judged by the IPv4 inside."""
ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""The first half of an ISATAP address's last 64 bits (RFC 5214); an IPv4 address follows, to which the host tunnels."""
SPECIAL_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers' NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # not IANA's: the host's agent, as virtual machines of Azure see it
        "169.254.0.0/16",  # link-local; clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; PCP and TURN anycast
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relay anycast
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; broadcast
    )
)
SPECIAL_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, PCP, TURN, DNS-SD, benchmarking, AMT, AS112, ORCHID, DRIP
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: what is sent there is tunnelled to the IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
"""Inside 2000::/3; all other special IPv6 networks lie outside it."""


def is_public(address: Address) -> bool:
    """Tell whether the address is a host's on the public internet; a wrapped IPv4 address is judged as that."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    last = int(address) & 0xFFFF_FFFF
    if address in NAT64:
        return is_public(ipaddress.IPv4Address(last))
    if address not in GLOBAL_UNICAST or any(address in network for network in SPECIAL_V6):
        return False
    is_isatap = int(address) >> 32 & 0xFFFF_FFFF in ISATAP
    return not is_isatap or is_public(ipaddress.IPv4Address(last))
