"""RateBuckets in process and on a real Valkey behave alike."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from mezzotint.main.dev_up.valkey_server import ValkeyServer
from mezzotint.policy.rate_limit import Allowed, Limited, Rate
from mezzotint.store import LocalBuckets, RateBuckets, ValkeyBuckets

pytestmark = pytest.mark.anyio
SLOW = Rate(num=50, period_s=3600, burst=50)
"""So slow that no request leaks out while a test runs."""


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = ValkeyServer(folder=tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server.address
    server.stop()


@pytest.fixture(params=["local", "valkey"])
async def buckets(request: pytest.FixtureRequest) -> AsyncIterator[RateBuckets]:
    buckets: RateBuckets = LocalBuckets()
    if request.param == "valkey":
        buckets = ValkeyBuckets(request.getfixturevalue("valkey"))
    yield buckets
    await buckets.close()


async def test_fifty_of_eighty_that_come_together_pass(buckets: RateBuckets) -> None:
    outcomes = await asyncio.gather(*(buckets.pour("together", SLOW) for _ in range(80)))
    assert sum(isinstance(outcome, Allowed) for outcome in outcomes) == 50


async def test_names_do_not_share(buckets: RateBuckets) -> None:
    once = Rate(num=1, period_s=3600, burst=1)
    assert isinstance(await buckets.pour("ada", once), Allowed)
    assert isinstance(await buckets.pour("eve", once), Allowed)
    full = await buckets.pour("ada", once)
    assert isinstance(full, Limited)
    assert 3590 < full.retry_s <= 3600


async def test_what_remains_is_counted_down(buckets: RateBuckets) -> None:
    rate = Rate(num=3, period_s=3600, burst=3)
    left = [await buckets.pour("left", rate) for _ in range(3)]
    assert [outcome.remaining for outcome in left if isinstance(outcome, Allowed)] == [2, 1, 0]


async def test_a_fast_bucket_drains(buckets: RateBuckets) -> None:
    fast = Rate(num=1000, period_s=1, burst=1)
    until = time.monotonic() + 30
    passed = 0
    while passed < 5:
        passed += isinstance(await buckets.pour("fast", fast), Allowed)
        assert time.monotonic() < until


async def test_two_gateways_share_their_limits_through_valkey(valkey: str) -> None:
    one, other = ValkeyBuckets(valkey), ValkeyBuckets(valkey)
    outcomes = await asyncio.gather(*(gateway.pour("shared", SLOW) for gateway in (one, other) * 40))
    assert sum(isinstance(outcome, Allowed) for outcome in outcomes) == 50
    await one.close()
    await other.close()


async def test_without_its_server_a_gateway_counts_by_itself() -> None:
    buckets = ValkeyBuckets("valkey://127.0.0.1:9")
    outcomes = [await buckets.pour("alone", SLOW) for _ in range(60)]
    assert sum(isinstance(outcome, Allowed) for outcome in outcomes) == 50
    await buckets.close()
