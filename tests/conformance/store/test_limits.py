"""Limits hold however many requests come at once, and through however many gateways: two pools on one database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from mezzotint.domain.claims import OWN, Role
from mezzotint.domain.ids import OF_TENANT, Sha256, TenantId, UserId, WebhookId
from mezzotint.domain.key import KeyRequest
from mezzotint.domain.submission import Once, TooManyOpen
from mezzotint.domain.task import Source
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.domain.webhook import Webhook
from mezzotint.store import Database, Jobs, Keys, Submissions, Tenants, Uploads, Users, Webhooks
from mezzotint.store.accounts.passwords import Passwords
from mezzotint.store.accounts.users import MAX_SESSIONS
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
LATER = NOW + timedelta(hours=1)
ADA, EVE = TenantId("ada"), TenantId("eve")


@pytest.fixture
async def gateways(database: Database, address: Path | str) -> AsyncIterator[tuple[Database, Database]]:
    """The database as two processes have it."""
    other = Database(address)
    yield database, other
    await other.close()


def once(name: str) -> Once:
    return Once(name=name, body="b" * 64, expires_at=LATER, has_key=True)


async def num_open(database: Database, tenant: TenantId) -> int:
    return (await Jobs(database).standing(tenant, "2026-01"))[0]


async def test_no_more_jobs_than_allowed_are_open_however_many_come_at_once(
    gateways: tuple[Database, Database],
) -> None:
    ways = [Jobs(database) for database in gateways]
    told = await asyncio.gather(
        *(ways[n % 2].add(make_job(), once=named_or_not(n), most_open=20) for n in range(60)),
        *(ways[n % 2].add(make_job(tenant="eve"), most_open=20) for n in range(10)),
    )
    assert told[:60].count(True) == 20
    assert [answer.num_open for answer in told[:60] if isinstance(answer, TooManyOpen)] == [20] * 40
    assert told[60:] == [True] * 10, "another tenant's limit is its own"
    assert [await num_open(gateways[0], tenant) for tenant in (ADA, EVE)] == [20, 10]


def named_or_not(number: int) -> Once | None:
    return once(f"request {number}") if number % 3 else None


async def test_the_jobs_of_one_request_count_whole(gateways: tuple[Database, Database]) -> None:
    ways = [Jobs(database) for database in gateways]
    told = await asyncio.gather(
        *(ways[n % 2].add(*(make_job() for _ in range(6)), once=once(f"{n}"), most_open=20) for n in range(10))
    )
    assert told.count(True) == 3
    assert await num_open(gateways[0], ADA) == 18
    assert await ways[0].add(make_job(), make_job(), most_open=20) is True
    assert await ways[1].add(make_job(), most_open=20) == TooManyOpen(num_open=20)


async def test_a_request_beyond_the_limit_leaves_its_name_to_a_later_one(jobs: Jobs, database: Database) -> None:
    first = make_job()
    assert await jobs.add(first, once=once("first"), most_open=1) is True
    beyond, again = await asyncio.gather(
        jobs.add(make_job(), once=once("second"), most_open=1),
        jobs.add(make_job(), once=once("first"), most_open=1),
    )
    assert (beyond, again) == (TooManyOpen(num_open=1), False), "a repetition is told of the first, not of the limit"
    assert await Submissions(database).find(ADA, once("second"), NOW) is None
    await jobs.cancel(first.id, LATER)
    assert await jobs.add(make_job(), once=once("second"), most_open=1) is True


async def test_no_more_webhooks_keys_and_uploads_than_allowed_are_kept(gateways: tuple[Database, Database]) -> None:
    await Tenants(gateways[0]).add(Tenant(id=ADA, tier=Tier.FREE, created_at=NOW))
    hooks = [
        Webhook(id=WebhookId(f"wh_{n}"), tenant=ADA, url="https://hooks.example/x", created_at=NOW) for n in range(40)
    ]
    told = await asyncio.gather(*(Webhooks(gateways[n % 2]).add(hook, 10) for n, hook in enumerate(hooks)))
    assert told.count(True) == len(await Webhooks(gateways[0]).of_tenant(ADA)) == 10
    wanted = KeyRequest(tenant=ADA, name="laptop", scopes=OWN)
    made = await asyncio.gather(*(Keys(gateways[n % 2]).add(wanted, NOW, 10) for n in range(30)))
    assert sum(key is not None for key in made) == len(await Keys(gateways[0]).of_tenant(ADA)) == 10
    pictures = [Source(content=Sha256(f"{n:064x}"), width=8, height=8) for n in range(30)]
    kept = await asyncio.gather(
        *(Uploads(gateways[n % 2]).keep(ADA, picture, NOW, 10) for n, picture in enumerate(pictures))
    )
    assert kept.count(True) == 10


async def test_the_bytes_of_uploads_are_bounded_however_they_came(gateways: tuple[Database, Database]) -> None:
    ways = [Uploads(database) for database in gateways]
    pictures = [Source(content=Sha256(f"{n:064x}"), width=8, height=8, num_bytes=100) for n in range(30)]
    kept = await asyncio.gather(
        *(ways[n % 2].keep(ADA, picture, NOW, 200, 1000) for n, picture in enumerate(pictures[:15])),
        *(ways[n % 2].take(ADA, picture, NOW, 1000) for n, picture in enumerate(pictures[15:])),
    )
    assert kept.count(True) == 10
    again = pictures[kept.index(True)]
    assert await ways[1].keep(ADA, again, NOW, 200, 1000), "the same picture takes no more room"
    assert await ways[0].keep(EVE, again, NOW, 200, 1000), "another tenant has its own"


async def test_what_came_with_requests_makes_room_in_bytes_too(database: Database) -> None:
    sources = Uploads(database)
    pictures = [Source(content=Sha256(f"{n:064x}"), width=8, height=8, num_bytes=100) for n in range(6)]
    assert await sources.keep(ADA, pictures[0], NOW, 200, 400)
    for n in (1, 2, 3):
        assert await sources.take(ADA, pictures[n], NOW + timedelta(seconds=n), 400)
    assert not await sources.take(ADA, pictures[4], LATER, 400)
    assert await sources.make_room(ADA, 200, LATER, 300) == [pictures[1].content]
    assert await sources.take(ADA, pictures[4], LATER, 400)
    assert await sources.make_room(ADA, 200, LATER, 0) == [pictures[3].content, pictures[2].content]
    assert await sources.owners_of(ADA, pictures[0].content) == [OF_TENANT]


async def test_a_user_has_so_many_sessions_and_the_oldest_go(gateways: tuple[Database, Database]) -> None:
    ways = [
        Users(database, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))) for database in gateways
    ]
    user = User(id=UserId("u1"), tenant=ADA, name="ada", role=Role.USER, created_at=NOW)
    assert await ways[0].add(user, "four words in a row", Tenant(id=ADA, tier=Tier.FREE, created_at=NOW))
    oldest = await ways[0].open_session(user.id, NOW, LATER)
    newer = await asyncio.gather(
        *(ways[n % 2].open_session(user.id, LATER.replace(year=2026 + n), LATER.replace(year=2099)) for n in range(60))
    )
    assert await ways[0].in_session(oldest, NOW) is None
    open_ones = [secret for secret in newer if await ways[1].in_session(secret, LATER) is not None]
    assert len(open_ones) == MAX_SESSIONS
