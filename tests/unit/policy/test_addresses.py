"""IANA's special-purpose registries for IPv4 and IPv6, network by network, and what wraps an IPv4 address."""

import ipaddress

import pytest

from mezzotint.policy.addresses import is_public

SPECIAL = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32
192.0.0.9/32 192.0.0.10/32 192.0.0.170/31 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.88.99.2/32
192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
255.255.255.255/32 168.63.129.16/32
::1/128 ::/128 ::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 2001:1::1/128 2001:1::2/128
2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16
2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fd00:ec2::254/128 fe80::/10 fec0::/10 ff00::/8 4000::/3 e000::/4
""".split()  # noqa: SIM905 - a table of words


@pytest.mark.parametrize("network", SPECIAL)
def test_no_address_of_a_special_network_is_public(network: str) -> None:
    special = ipaddress.ip_network(network)
    middle = special.network_address + special.num_addresses // 2
    assert not any(is_public(address) for address in (special[0], middle, special[-1]))


EDGES = """
1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0
172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255
198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 168.63.129.15
2000:: 2001:200:: 2001:4860:4860::8888 2001:db7:: 2001:db9:: 2003:: 2606:4700::1111 2620:4f:7fff:: 2a00:1450::1
3ffe:: 3fff:1000::
""".split()  # noqa: SIM905 - a table of words


@pytest.mark.parametrize("address", EDGES)
def test_the_addresses_beside_the_special_networks_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


WRAPS = ["::ffff:{}", "64:ff9b::{}", "2606:4700::5efe:{}", "2606:4700::200:5efe:{}"]


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_wrapped_ipv4_address_is_judged_as_that(wrap: str) -> None:
    for address, public in {"8.8.8.8": True, "10.0.0.1": False, "127.0.0.1": False, "169.254.169.254": False}.items():
        assert is_public(ipaddress.ip_address(wrap.format(address))) is public


@pytest.mark.parametrize("wrap", ["::{}", "64:ff9b:1::{}", "2002:{:x}::", "2001:0:{:x}::", "fe80::5efe:{}"])
def test_what_tunnels_or_is_local_is_not_public_even_around_a_public_address(wrap: str) -> None:
    inside = ipaddress.IPv4Address("8.8.8.8")
    text = wrap.format(inside) if "{}" in wrap else wrap.replace("{:x}", "808:808")
    assert not is_public(ipaddress.ip_address(text))
