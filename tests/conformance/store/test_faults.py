"""A database that is locked, full, read-only or short of connections is away: told as such, then used again."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.errors import StorageFull, StorageUnavailable
from mezzotint.store import Database
from mezzotint.store import database as module
from mezzotint.store.schema import shares
from tests.servers import Postgres, running_postgres

pytestmark = pytest.mark.anyio
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(path: Path, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    command = [sys.executable, "-c", HOLD, str(path), begin]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.communicate()


async def add(connection: AsyncConnection, name: str) -> None:
    row = {"share": name, "start_tag": 0.0, "virtual_time": 0.0, "is_idle": False}
    await connection.execute(insert(shares).values(row))


async def write(database: Database, name: str) -> None:
    async with database.write() as connection:
        await add(connection, name)


async def fill(database: Database) -> None:
    for number in range(500):
        await write(database, f"{number:040}")


async def num_rows(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM shares"))).scalar_one())


@pytest.fixture
async def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Database, Path]]:
    monkeypatch.setattr(module, "BUSY_S", 0.3)
    path = tmp_path / "mezzotint.db"
    database = Database(path)
    await asyncio.to_thread(database.migrate)
    yield database, path
    await database.close()


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_lock_of_another_process_is_a_store_that_is_away(sqlite: tuple[Database, Path], begin: str) -> None:
    database, path = sqlite
    before = await num_rows(database)
    with locked_by_another_process(path, begin):
        done = await asyncio.gather(*(write(database, str(n)) for n in range(20)), return_exceptions=True)
        assert {type(one) for one in done} == {StorageUnavailable}
        assert await num_rows(database) == before, "readers go on"
        await database.check()
    await write(database, "after")
    assert await num_rows(database) == before + 1


async def test_a_first_connection_under_a_lock_is_a_store_that_is_away(sqlite: tuple[Database, Path]) -> None:
    _, path = sqlite
    fresh = Database(path)
    with pytest.raises(StorageUnavailable), locked_by_another_process(path):
        await write(fresh, "x")
    await write(fresh, "x")
    await fresh.close()


async def test_a_lock_under_which_the_journal_cannot_be_set_up_is_a_store_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_S", 0.3)
    path = tmp_path / "rollback-journal.db"
    with sqlite3.connect(path) as plain:
        plain.execute("CREATE TABLE something (x)")
    database = Database(path)
    with locked_by_another_process(path, "BEGIN EXCLUSIVE"):
        with pytest.raises(StorageUnavailable):
            await database.check()
        with pytest.raises(StorageUnavailable):
            await asyncio.to_thread(database.migrate)
    await database.check()
    await database.close()


async def test_a_full_disk_is_said_and_the_database_goes_on_with_more_room(sqlite: tuple[Database, Path]) -> None:
    database, _ = sqlite
    async with database.write() as connection:
        await connection.execute(text("PRAGMA max_page_count = 1"))  # of this connection: as small as what is there
    with pytest.raises(StorageFull):
        await fill(database)
    async with database.write() as connection:
        await connection.execute(text("PRAGMA max_page_count = 1000000"))
    before = await num_rows(database)
    await write(database, "after")
    assert await num_rows(database) == before + 1


async def test_a_database_that_turned_read_only_is_a_store_that_is_away(sqlite: tuple[Database, Path]) -> None:
    database, _ = sqlite
    async with database.read() as connection:
        await connection.execute(text("PRAGMA query_only = 1"))
    with pytest.raises(StorageUnavailable):
        await write(database, "x")
    async with database.read() as connection:
        await connection.execute(text("PRAGMA query_only = 0"))
    await write(database, "x")


async def test_postgres_without_a_free_connection_is_a_store_that_is_away() -> None:
    settings = ("fsync=off", "max_connections=4", "superuser_reserved_connections=0", "max_wal_senders=0")
    with running_postgres(settings) as server:
        url = server.database()
        database = Database(url)
        await asyncio.to_thread(database.migrate)
        taken: list[asyncpg.Connection] = []
        with pytest.raises(asyncpg.PostgresError):
            await connect_until_refused(url, taken)
        try:
            with pytest.raises(StorageUnavailable):
                await database.check()
            with pytest.raises(StorageUnavailable):
                await write(database, "x")
        finally:
            for connection in taken:
                connection.terminate()
        await _in_time(database)
        await write(database, "x")
        await database.close()
        await asyncio.to_thread(server.stop)
        with pytest.raises(StorageUnavailable):
            await database.check()


async def connect_until_refused(url: str, taken: list[asyncpg.Connection]) -> None:
    while True:
        taken.append(await asyncpg.connect(url))


async def _in_time(database: Database) -> None:
    """Returns when the server has noticed that connections are free again."""
    for _ in range(100):
        try:
            return await database.check()
        except StorageUnavailable:
            await asyncio.sleep(0.1)
    pytest.fail("the database did not come back")


async def test_a_deadlock_of_postgres_is_a_store_that_is_busy(postgres: Postgres) -> None:
    database = Database(postgres.database())
    await asyncio.to_thread(database.migrate)
    for name in "ab":
        await write(database, name)
    both = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with database.write() as connection:
            await connection.execute(text("UPDATE shares SET start_tag = 1 WHERE share = :name"), {"name": first})
            await both.wait()
            await connection.execute(text("UPDATE shares SET start_tag = 2 WHERE share = :name"), {"name": second})

    done = await asyncio.gather(change("a", "b"), change("b", "a"), return_exceptions=True)
    assert sorted(type(one) for one in done if one is not None) == [StorageUnavailable]
    await database.close()


async def test_a_mistake_of_ours_is_no_fault_of_the_database(sqlite: tuple[Database, Path]) -> None:
    database, _ = sqlite
    with pytest.raises(OperationalError, match="no such table"):
        async with database.read() as connection:
            await connection.execute(text("SELECT * FROM missing"))


async def test_each_fault_is_counted(sqlite: tuple[Database, Path]) -> None:
    _, path = sqlite
    faults: list[None] = []
    database = Database(path, on_fault=lambda: faults.append(None))
    with pytest.raises(StorageUnavailable), locked_by_another_process(path):
        await write(database, "x")
    await database.close()
    assert faults == [None]
