"""How fast and how wide callers may ask, and what they are told."""

import asyncio
from dataclasses import replace

import pytest

from mezzotint.domain.tier import Tier, limits_of
from mezzotint.gateway import Service
from mezzotint.gateway.rate_limits import RateLimits
from mezzotint.store import LocalBuckets
from tests.making import make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


def stopped(service: Service, **changes: object) -> Service:
    """With a clock that stands still: nothing leaks out."""
    return replace(service, rate_limits=RateLimits(buckets=LocalBuckets(clock=lambda: 1000.0), **changes))  # type: ignore[arg-type]


async def test_a_tenant_beyond_its_burst_is_told_when_to_come_back(connect: Connect, service: Service) -> None:
    served = stopped(service)
    async with connect("ada", served=served) as ada, connect("eve", served=served) as eve:
        burst = limits_of(Tier.FREE).request_burst
        first = await ada.get("/v1/me")
        assert first.headers["RateLimit-Limit"] == str(burst)
        assert first.headers["RateLimit-Remaining"] == str(burst - 1)
        assert int(first.headers["RateLimit-Reset"]) >= 1
        assert first.headers["RateLimit-Policy"] == "300;w=60;burst=100"
        for _ in range(burst - 1):
            assert (await ada.get("/v1/me")).status_code == 200
        refused = await ada.get("/v1/me")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert refused.headers["RateLimit-Remaining"] == "0"
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await eve.get("/v1/me")).status_code == 200, "others are not held up"


async def test_an_address_is_limited_before_anything_is_looked_at(connect: Connect, service: Service) -> None:
    served = stopped(service, per_address=60)
    async with connect(None, served=served, peer="203.0.113.7") as crowd:
        answers = [(await crowd.get("/v1/jobs")).status_code for _ in range(310)]
    assert answers == [401] * 300 + [429] * 10
    async with connect(None, served=served, peer="203.0.113.8") as other:
        assert (await other.get("/v1/jobs")).status_code == 401


@pytest.mark.parametrize(
    ("peers", "statuses"),
    [
        (["2001:db8::1", "2001:db8::2"], [200, 429]),  # one customer has a /64
        (["2001:db8::1", "2001:db8:0:1::1"], [200, 200]),
        (["127.0.0.1", "127.0.0.1"], [200, 200]),  # a proxy on this machine speaks for everybody
        (["::1", "::1"], [200, 200]),
    ],
)
async def test_addresses_are_counted_by_who_has_them(
    connect: Connect, service: Service, peers: list[str], statuses: list[int]
) -> None:
    served = stopped(service, per_address=1)
    async with connect(None, served=served, peer=peers[0]) as first:
        for _ in range(299):
            await first.get("/healthz")
        answers = [(await first.get("/healthz")).status_code]
    async with connect(None, served=served, peer=peers[1]) as second:
        answers.append((await second.get("/healthz")).status_code)
    assert answers == statuses


async def test_zero_lifts_the_limits(connect: Connect, service: Service) -> None:
    served = stopped(service, scale=0.0, per_address=0)
    async with connect("ada", served=served, peer="203.0.113.7") as ada:
        for _ in range(400):
            assert (await ada.get("/v1/me")).status_code == 200


async def test_open_streams_of_a_tenant_are_counted_and_given_back(connect: Connect, service: Service) -> None:
    job = make_job()
    await service.desk.jobs.add(job)
    most = limits_of(Tier.FREE).max_streams
    async with connect() as ada:
        waiting = [asyncio.create_task(ada.get(f"/v1/jobs/{job.id}?wait=30")) for _ in range(most)]
        while service.rate_limits.streams["ada"] < most:
            await asyncio.sleep(0)
        for path in (f"/v1/jobs/{job.id}?wait=30", f"/v1/jobs/{job.id}/events"):
            refused = await ada.get(path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
        assert (await ada.delete(f"/v1/jobs/{job.id}")).status_code == 200
        assert {answer.json()["state"] for answer in await asyncio.gather(*waiting)} == {"cancelled"}
        assert (await ada.get(f"/v1/jobs/{job.id}/events")).status_code == 200
        assert service.rate_limits.streams == {}


async def test_an_address_that_is_too_long_is_refused(connect: Connect) -> None:
    async with connect() as ada:
        answer = await ada.get("/v1/jobs?cursor=" + "1" * 9000)
        assert (answer.status_code, answer.json()["error"]["code"]) == (414, "url_too_long")
