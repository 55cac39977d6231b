"""Submissions that come together: one transaction, and each of them all or nothing."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId
from mezzotint.domain.submission import Once
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue import settle
from mezzotint.policy.fair_queue.state import Flow
from mezzotint.store import Changes, Database, Jobs, Submissions
from mezzotint.store.bulk_write import execute
from mezzotint.store.queue.flows import ENQUEUE_FLOW, LEAVE_FLOW, QueuedJobs, count_by_flow, flow_of
from mezzotint.store.schema import flows
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
LATER = NOW + timedelta(hours=1)


def once(name: str, expires_at: datetime = LATER) -> Once:
    return Once(name=name, body="b" * 64, expires_at=expires_at, has_key=True, is_retry=False)


async def test_submissions_that_come_together_share_few_transactions(
    jobs: Jobs, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = 0
    write = database.write

    @asynccontextmanager
    async def counted(*, is_one: bool = False) -> AsyncIterator[AsyncConnection]:
        nonlocal commits
        commits += 1
        async with write(is_one=is_one) as connection:
            yield connection

    monkeypatch.setattr(database, "write", counted)
    added = [make_job(tenant=f"t{n % 3}") for n in range(30)]
    assert all(await asyncio.gather(*(jobs.add(job) for job in added)))
    assert commits <= 2, "one alone, and one with all that gathered meanwhile"
    assert {job.id for _, job in await jobs.of_all(100, None, None, None)} == {job.id for job in added}
    for job in added[::10]:
        assert [change.number for change in await Changes(database).of_job(job.id, 0)] == [1]


async def test_of_one_name_one_submission_is_written_even_when_they_come_together(
    jobs: Jobs, database: Database
) -> None:
    twins = [(make_job(), make_job()) for _ in range(5)]
    others = [make_job(tenant="eve") for _ in range(5)]
    told = await asyncio.gather(
        *(jobs.add(*pair, once=once("the same")) for pair in twins), *(jobs.add(job) for job in others)
    )
    assert told == [True, False, False, False, False, True, True, True, True, True]
    found = await Submissions(database).find(TenantId("ada"), once("the same"), NOW)
    assert found is not None
    assert found.jobs == tuple(job.id for job in twins[0])
    assert (await jobs.standing(TenantId("ada"), "2026-01"))[0] == 2
    assert (await jobs.standing(TenantId("eve"), "2026-01"))[0] == 5


async def test_a_name_whose_time_is_over_may_be_used_anew(jobs: Jobs) -> None:
    assert await jobs.add(make_job(), once=once("key", NOW))
    assert await jobs.add(make_job(), once=once("key"))
    assert not await jobs.add(make_job(), once=once("key"))


async def test_one_at_fault_does_not_harm_those_that_came_with_it(jobs: Jobs) -> None:
    before = make_job()
    await jobs.add(before)
    good = [make_job() for _ in range(4)]
    told = await asyncio.gather(*(jobs.add(job) for job in (*good, make_job(id=before.id))), return_exceptions=True)
    assert told[:4] == [True] * 4
    assert isinstance(told[4], IntegrityError)
    assert (await jobs.standing(TenantId("ada"), "2026-01"))[0] == 5


async def test_a_submission_whose_caller_left_does_not_harm_the_others(jobs: Jobs) -> None:
    calls = [asyncio.ensure_future(jobs.add(make_job())) for _ in range(4)]
    await asyncio.sleep(0)
    calls[2].cancel()
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert [one for one in told if one is True] == [True] * 3


async def test_the_statements_of_flows_do_what_the_policy_says(database: Database) -> None:
    dice = random.Random(3)
    expected: dict[str, Flow] = {}
    for turn in range(40):
        now = NOW + timedelta(seconds=turn)
        tenant, number, time = TenantId(dice.choice("abc")), dice.randrange(1, 3), dice.choice([0.0, 1.5, 7.25])
        async with database.write() as connection:
            await connection.exec_driver_sql(f"UPDATE shares SET virtual_time = {time} WHERE share = 'free'")
            if tenant in expected and dice.random() < 0.5:  # nothing of it waits any more
                await connection.exec_driver_sql(f"UPDATE flows SET num_queued = 0 WHERE tenant = '{tenant}'")
                expected[tenant] = replace(expected[tenant], num_queued=0)
            await execute(connection, {ENQUEUE_FLOW: count_by_flow([QueuedJobs(Tier.FREE, tenant, number, now)])})
            for _ in range(number):
                was = expected.get(tenant)
                expected[tenant] = settle.add_waiting_job(was, lane=Tier.FREE, tenant=tenant, lane_time=time, now=now)
            found = (await connection.execute(select(flows).where(flows.c.tenant == tenant))).mappings().one()
        assert flow_of(found) == expected[tenant]
        assert found["waits_in"] == Tier.FREE
        if turn % 3 == 0:
            async with database.write() as connection:
                left = [QueuedJobs(Tier.FREE, tenant, 1, now)] * dice.randrange(1, 3)
                await execute(connection, {LEAVE_FLOW: count_by_flow(left)})
                found = (await connection.execute(select(flows).where(flows.c.tenant == tenant))).mappings().one()
            for _ in left:
                expected[tenant] = settle.remove_waiting_job(expected[tenant])
            assert flow_of(found) == expected[tenant]
            assert (found["waits_in"] is None) == (found["num_queued"] == 0)
