"""How addresses of clients are read, and as whom a limit counts them."""

import pytest

from mezzotint.gateway.network.addresses import is_loopback, limit_key, read_address, read_forwarded


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),  # a client by IPv4 of a server that listens on ::
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::9", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_one_client_has_one_key(text: str, key: str) -> None:
    address = read_address(text)
    assert address is not None
    assert limit_key(address) == key


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        *((text, None) for text in ("", "unknown", "_hidden", "192.0.2", "192.0.2.1:", "192.0.2.1:port")),
        *((text, None) for text in ("192.0.2.1:99999", "[192.0.2.1]", "[2001:db8::1", "[2001:db8::1]4711")),
        *((text, None) for text in ("localhost", "192.0.2.1 x", "0x7f.1", "127.1", "１２７.0.0.1", "192.0.2.1\0")),
    ],
)
def test_an_entry_of_a_forwarded_header_is_an_address_or_nothing(text: str, address: str | None) -> None:
    found = read_forwarded(text)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_in_every_form(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.evil.example", "127.0.0.1.nip.io", "::ffff:8.8.8.8", "", "0.0.0.0"])
def test_what_only_looks_like_loopback(host: str) -> None:
    assert not is_loopback(host)
