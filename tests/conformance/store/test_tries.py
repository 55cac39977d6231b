"""Tries of equal content: which of them a retry is given."""

import asyncio
from datetime import timedelta

import pytest

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.submission import Once
from mezzotint.store import Database, Jobs, Submissions
from mezzotint.store.submissions import DELIVERED_LIFETIME
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
ADA = TenantId("ada")
SERIES = "try:0123:"


def make_try(name: str, num_retries: int = 0) -> Once:
    expires_at = NOW + timedelta(hours=1)
    return Once(
        name=SERIES + name, body="b" * 64, expires_at=expires_at, has_key=False, series=SERIES, num_retries=num_retries
    )


@pytest.fixture
def submissions(database: Database) -> Submissions:
    return Submissions(database)


async def add(jobs: Jobs, *tries: Once) -> dict[str, JobId]:
    made = {one.name: make_job() for one in tries}
    for one in tries:
        assert await jobs.add(made[one.name], once=one)
    return {name: job.id for name, job in made.items()}


async def test_two_retries_at_once_are_given_different_tries(jobs: Jobs, submissions: Submissions) -> None:
    made = await add(jobs, make_try("a"), make_try("b"))
    taken = await asyncio.gather(*(submissions.take_cut_try(ADA, make_try("x", 1), NOW) for _ in range(3)))
    assert sorted(one.jobs[0] for one in taken if one) == sorted(made.values())
    assert await submissions.take_cut_try(TenantId("eve"), make_try("x", 1), NOW) is None


async def test_a_later_retry_is_given_what_the_earlier_one_was(jobs: Jobs, submissions: Submissions) -> None:
    await add(jobs, make_try("a"), make_try("b"))
    first = await submissions.take_cut_try(ADA, make_try("x", 1), NOW)
    assert first is not None
    assert await submissions.take_cut_try(ADA, make_try("x", 2), NOW) == first
    other = await submissions.take_cut_try(ADA, make_try("x", 1), NOW)
    assert other is not None
    assert other.name != first.name


async def test_a_try_whose_answer_arrived_comes_last_and_only_for_a_moment(
    jobs: Jobs, submissions: Submissions
) -> None:
    made = await add(jobs, make_try("a"), make_try("b"))
    await submissions.mark_delivered(ADA, SERIES + "a", NOW)
    for expected in ("b", "a"):
        found = await submissions.take_cut_try(ADA, make_try("x", 1), NOW)
        assert found is not None
        assert found.jobs == (made[SERIES + expected],)
    late = NOW + DELIVERED_LIFETIME
    found = await submissions.take_cut_try(ADA, make_try("x", 2), late)
    assert found is not None
    assert found.jobs == (made[SERIES + "b"],)
    assert await submissions.take_cut_try(ADA, make_try("x", 2), late) is None
