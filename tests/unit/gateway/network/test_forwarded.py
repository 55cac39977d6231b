"""Whom the limits count behind proxies, and what a client cannot make them believe."""

from dataclasses import replace

import httpx
import pytest

from mezzotint.gateway import Service
from mezzotint.gateway.network.addresses import read_address
from mezzotint.gateway.network.forwarded import MAX_HOPS, ForwardedClient, TrustedProxies
from mezzotint.gateway.rate_limits import RateLimits
from mezzotint.store import LocalBuckets
from tests.unit.gateway.applications import make_app

PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("trusted", "header", "client"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # what stands left of it is the client's own word
        ("10.0.0.0/8", "203.0.113.7, 10.1.1.1", "203.0.113.7"),  # two proxies
        ("10.0.0.0/8", "10.2.2.2, 10.1.1.1", "10.2.2.2"),  # a client inside the trusted network
        ("10.0.0.1", "garbage", PEER),
        ("10.0.0.1", "", PEER),
        ("10.0.0.1", "203.0.113.7,", PEER),
        ("10.0.0.1", "203.0.113.7, unknown", PEER),
        ("10.0.0.0/8", "203.0.113.7, x, 10.1.1.1", PEER),
        ("10.0.0.0/8", ",".join(["203.0.113.7"] + ["10.1.1.1"] * MAX_HOPS), PEER),
        ("*", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("*", "198.51.100.1, garbage", PEER),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_trusted_proxy(trusted: str, header: str, client: str) -> None:
    peer = read_address(PEER)
    assert peer is not None
    assert str(TrustedProxies.read(trusted).find_client(peer, header.split(","))) == client


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/99", "*, 10.0.0.1"])
def test_a_setting_that_would_trust_nobody_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        TrustedProxies.read(text)


HEADERS = [
    *({"x-forwarded-for": value} for value in ("garbage", "", "unknown", "127.0.0.1", "::1", "localhost", "[", ",,,")),
    {"x-forwarded-for": ",".join(["127.0.0.1"] * 100)},
]


@pytest.mark.anyio
@pytest.mark.parametrize("peer", ["127.0.0.1", "::ffff:127.0.0.1", "::1"])
async def test_no_forwarded_header_lifts_the_limit(service: Service, peer: str) -> None:
    """Behind a trusted proxy on this machine: what cannot be read, or names this machine, counts as the proxy."""
    rate_limits = RateLimits(buckets=LocalBuckets(clock=lambda: 1000.0), per_address=1)
    app = ForwardedClient(make_app(replace(service, rate_limits=rate_limits)), TrustedProxies.read("127.0.0.1, ::1"))
    transport = httpx.ASGITransport(app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for headers in HEADERS:
            assert "RateLimit-Limit" in (await client.get("/healthz", headers=headers)).headers, headers
        for _ in range(300):
            answer = await client.get("/healthz", headers={"x-forwarded-for": "garbage"})
        assert answer.status_code == 429
        assert "RateLimit-Limit" not in (await client.get("/healthz")).headers, "this machine speaks for itself"


@pytest.mark.anyio
async def test_ipv4_clients_of_a_server_on_all_ipv6_addresses_are_counted_apart(service: Service) -> None:
    rate_limits = RateLimits(buckets=LocalBuckets(clock=lambda: 1000.0), per_address=1)
    app = ForwardedClient(make_app(replace(service, rate_limits=rate_limits)), TrustedProxies())

    async def get(peer: str) -> int:
        transport = httpx.ASGITransport(app, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/healthz")).status_code

    assert {await get("::ffff:203.0.113.7") for _ in range(300)} == {200}
    assert await get("::ffff:203.0.113.7") == 429
    assert await get("203.0.113.7") == 429, "one client, whichever socket it came by"
    assert await get("::ffff:203.0.113.8") == 200
