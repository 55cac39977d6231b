"""The trips to SQLite's threads: few, in order, and nothing is left open by them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from mezzotint.store import Database
from mezzotint.store.schema import shares
from mezzotint.store.sqlite import Connection

pytestmark = pytest.mark.anyio
ALL = select(shares.c.share).order_by(shares.c.share)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "mezzotint.db")
    await asyncio.to_thread(database.migrate)
    yield database
    await database.close()


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(ALL)).scalars())


async def write(database: Database, name: str) -> None:
    row = {"share": name, "start_tag": 0.0, "virtual_time": 0.0, "is_idle": False}
    async with database.write() as connection:
        await connection.execute(insert(shares).values(row))


async def test_a_read_takes_one_trip_a_statement(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await names(database)
    trips = []
    walk = Connection.in_thread

    def counted(self: Connection, work: Any) -> Any:
        trips.append(work)
        return walk(self, work)

    monkeypatch.setattr(Connection, "in_thread", counted)
    await names(database)
    assert len(trips) == 1
    async with database.write() as connection:
        for _ in range(3):
            await connection.execute(text("SELECT 1"))
    assert len(trips) == 4


async def test_the_reads_of_a_transaction_see_one_moment(database: Database) -> None:
    async with database.read() as connection:
        before = list((await connection.execute(ALL)).scalars())
        await write(database, "later")
        assert list((await connection.execute(ALL)).scalars()) == before
    assert "later" in await names(database)


async def test_a_write_that_fails_leaves_nothing(database: Database) -> None:
    before = await names(database)

    async def fail() -> None:
        async with database.write() as connection:
            row = {"share": "half", "start_tag": 0.0, "virtual_time": 0.0, "is_idle": False}
            await connection.execute(insert(shares).values(row))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await names(database) == before
    await write(database, "whole")
    assert "whole" in await names(database)


async def test_what_was_read_holds_no_snapshot_afterwards(database: Database) -> None:
    for _ in range(3):
        await names(database)
    await write(database, "one")
    await names(database)
    plain = sqlite3.connect(str(database.url.database), timeout=2)
    (busy, *_) = plain.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # waits for whoever still reads
    plain.close()
    assert not busy


async def test_a_statement_that_is_given_up_spoils_no_connection(database: Database) -> None:
    slow = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n"
    )

    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(slow)

    async def change() -> None:
        async with database.write() as connection:
            await connection.execute(slow)

    for work in (read, change):
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await write(database, "after")
    assert "after" in await names(database)
