"""Uploads: some are kept for a day, and those that came with requests make room for each other."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mezzotint.domain.ids import Sha256, TenantId
from mezzotint.domain.task import Source, Task
from mezzotint.store import Database, Jobs, Uploads
from tests.making import NOW, make_job, make_parameters

pytestmark = pytest.mark.anyio
ADA, BOB = TenantId("ada"), TenantId("bob")
SOON = NOW + timedelta(minutes=1)


@pytest.fixture
def uploads(database: Database) -> Uploads:
    return Uploads(database)


def upload(number: int) -> Source:
    return Source(content=Sha256(f"{number:064x}"), width=64, height=48)


async def take(uploads: Uploads, *numbers: int, tenant: TenantId = ADA) -> None:
    for number in numbers:
        await uploads.take(tenant, upload(number), NOW + timedelta(seconds=number))


async def room(uploads: Uploads, most: int) -> list[int]:
    return [int(content, 16) for content in await uploads.make_room(ADA, most, SOON)]


async def there(uploads: Uploads, *numbers: int) -> list[int]:
    return [number for number in numbers if await uploads.find(ADA, upload(number).content, NOW)]


async def test_the_longest_unused_of_what_came_with_requests_goes_first(uploads: Uploads) -> None:
    await take(uploads, 1, 2, 3, 4)
    await take(uploads, 1, tenant=BOB)
    await uploads.take(ADA, upload(2), NOW + timedelta(seconds=9))
    assert await room(uploads, 4) == []
    assert await room(uploads, 2) == [3], "the bytes of the first are bob's, too"
    assert await there(uploads, 1, 2, 3, 4) == [2, 4]
    assert await uploads.find(BOB, upload(1).content, NOW) is not None


@pytest.mark.parametrize("part", ["source", "mask"])
async def test_what_an_open_job_begins_with_stays(uploads: Uploads, jobs: Jobs, part: str) -> None:
    await take(uploads, 1, 2, 3)
    parameters = replace(make_parameters(), task=Task.INPAINT, **{part: upload(1).content})
    await jobs.add(job := make_job(tenant="ada", parameters=parameters))
    assert await room(uploads, 1) == [2]
    assert await jobs.cancel(job.id, NOW)
    assert await room(uploads, 1) == [1]


async def test_what_came_a_moment_ago_stays_since_its_job_may_not_be_there_yet(uploads: Uploads) -> None:
    await take(uploads, 1, 2, 61)
    assert await room(uploads, 0) == [2, 1]
    assert await there(uploads, 61) == [61]


async def test_what_is_kept_makes_room_for_nobody(uploads: Uploads) -> None:
    assert await uploads.keep(ADA, upload(1), NOW, most=2)
    await take(uploads, 1, 2)
    assert await room(uploads, 0) == [2]
    assert await there(uploads, 1) == [1]


async def test_so_many_are_kept_of_a_tenant_and_no_more(uploads: Uploads) -> None:
    await take(uploads, 1, 2, 3)
    assert [await uploads.keep(ADA, upload(number), NOW, most=2) for number in (1, 4, 5, 2, 1, 4)] == [
        True, True, False, False, True, True,
    ]  # fmt: skip
    assert await uploads.keep(BOB, upload(5), NOW, most=2)
    assert await room(uploads, 0) == [3, 2]


async def test_an_upload_is_named_while_anybody_has_it(uploads: Uploads) -> None:
    await take(uploads, 1)
    assert await uploads.is_named(upload(1).content)
    assert await room(uploads, 0) == [1]
    assert not await uploads.is_named(upload(1).content)
