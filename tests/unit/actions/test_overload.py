"""Free jobs are refused while the queue is overfull, by what its rows say."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update

from mezzotint.actions.overload import LOOK_S, Overload
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import JobState
from mezzotint.domain.refusal import RefusalCode
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.overload import Pressure
from mezzotint.store import Database, Jobs, read_pressure
from mezzotint.store.schema import jobs
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
LATER = NOW + timedelta(minutes=4)
ENDED = {"state": JobState.CANCELLED, "waits_in": None}


@pytest.fixture
async def database(database_file: Path) -> AsyncIterator[Database]:
    database = Database(database_file)
    yield database
    await database.close()


async def fill(database: Database, number: int) -> None:
    await Jobs(database).add(*[make_job(id=JobId(f"job_{i}")) for i in range(number)])


async def end_but(database: Database, number: int) -> None:
    """All but the newest `number` jobs end."""
    async with database.write() as connection:
        newest = {f"job_{i}" for i in range(501 - number, 501)}
        await connection.execute(update(jobs).where(jobs.c.id.not_in(newest)).values(ENDED))


async def test_a_long_slow_queue_refuses_free_until_it_is_short_again(database: Database) -> None:
    await fill(database, 501)
    overload = Overload(partial(read_pressure, database))
    refusal = await overload.refusal(Tier.FREE, LATER)
    assert refusal is not None
    assert (refusal.code, refusal.retry_after_s) == (RefusalCode.OVERLOADED, 120)
    assert await overload.refusal(Tier.PRO, LATER) is None
    await end_but(database, 200)
    assert await overload.refusal(Tier.FREE, LATER + timedelta(seconds=LOOK_S)) is not None, "not short yet"
    await end_but(database, 199)
    assert await overload.refusal(Tier.FREE, LATER + timedelta(seconds=2 * LOOK_S)) is None


async def test_a_long_queue_that_moves_refuses_nobody(database: Database) -> None:
    await fill(database, 501)
    assert await Overload(partial(read_pressure, database)).refusal(Tier.FREE, NOW + timedelta(minutes=2)) is None


async def test_pressure_is_that_of_the_lane_that_waits_longest(database: Database) -> None:
    await Jobs(database).add(replace(make_job(tier=Tier.PRO), created_at=NOW - timedelta(seconds=50)))
    await Jobs(database).add(make_job(tier=Tier.FREE))
    assert await read_pressure(database, NOW) == Pressure(num_queued=2, p99_wait_s=50.0)


async def test_a_rush_of_submissions_reads_the_queue_once_in_a_while() -> None:
    looks: list[datetime] = []

    async def read(now: datetime) -> Pressure:
        looks.append(now)
        return Pressure(num_queued=0, p99_wait_s=0.0)

    overload = Overload(read)
    for seconds in (0.0, 1.0, LOOK_S - 0.1, LOOK_S, LOOK_S + 1):
        assert await overload.refusal(Tier.FREE, NOW + timedelta(seconds=seconds)) is None
    assert looks == [NOW, NOW + timedelta(seconds=LOOK_S)]
