"""How fast and how wide callers may ask, and what they are told."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from mezzotint.domain.tier import Tier, limits_of
from mezzotint.gateway import Service
from mezzotint.gateway.rate_limits import RateLimits
from mezzotint.store import LocalBuckets
from tests.making import make_job, make_screen
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
    await service.backing.jobs.add(job)
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


BROKEN = {"prompt": "a cat", "nonsense": 1}


async def test_a_tenant_whose_requests_keep_being_refused_is_slowed_before_they_are_read(
    connect: Connect, service: Service
) -> None:
    now = [1000.0]
    read: list[str] = []
    rate_limits = RateLimits(buckets=LocalBuckets(clock=lambda: now[0]), clock=lambda: now[0])

    def is_blocked(prompt: str) -> bool:
        read.append(prompt)
        return True

    served = replace(
        service, rate_limits=rate_limits, admission=replace(service.admission, screen=make_screen(is_blocked))
    )
    burst = limits_of(Tier.FREE).request_burst
    async with connect("ada", served=served) as ada, connect("eve", served=served) as eve:
        while not rate_limits.waiting:
            assert (await ada.post("/v1/jobs", json={"prompt": "a cat", "new": True})).status_code == 422
            now[0] += 0.2  # no faster than a free tenant may ask
        num_read = len(read)
        assert burst <= num_read <= burst + 30 * 0.2 * burst / 60 + 2, "its burst, and 30 a minute"
        refused = await ada.post("/v1/jobs", json={"prompt": "a cat", "new": True})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert "refused" in refused.json()["error"]["hint"]
        assert len(read) == num_read, "its prompt was not looked at"
        assert (await ada.get("/v1/jobs")).status_code == 200, "what only reads goes on"
        assert (await eve.post("/v1/jobs", json={"prompt": "a cat"})).status_code == 422, "and so do others"
        now[0] += int(refused.headers["Retry-After"])
        assert (await ada.post("/v1/jobs", json={"prompt": "a cat", "new": True})).status_code == 422


async def test_an_address_whose_requests_keep_being_refused_is_slowed(connect: Connect, service: Service) -> None:
    now = [1000.0]
    rate_limits = RateLimits(buckets=LocalBuckets(clock=lambda: now[0]), clock=lambda: now[0], scale=0)
    served = replace(service, rate_limits=rate_limits)
    statuses = Counter[int]()
    async with connect("ada", served=served, peer="203.0.113.7") as ada:
        for _ in range(400):
            statuses[(await ada.post("/v1/jobs", json=BROKEN)).status_code] += 1
            now[0] += 0.05  # no faster than an address may ask
    assert set(statuses) == {422, 429}
    assert 300 <= statuses[422] <= 300 + 400 * 0.05 * 2 + 30, "its burst, and 120 a minute"
    assert rate_limits.waiting


async def test_requests_that_are_taken_slow_nobody(connect: Connect, service: Service) -> None:
    served = stopped(service)
    async with connect("ada", served=served) as ada:
        for number in range(10):
            assert (await ada.post("/v1/jobs", json={"prompt": f"a cat {number}"})).status_code == 202
            assert (await ada.get("/v1/jobs/job_000000000000000000000000")).status_code == 404
    assert not any(name.startswith("refused:") for name in served.rate_limits.buckets._empty_at)  # type: ignore[attr-defined]
