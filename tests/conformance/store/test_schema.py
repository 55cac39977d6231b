"""The migrations build exactly the tables that the code speaks of, on every database."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from mezzotint.domain.errors import SettingInvalid, StorageFull, StorageUnavailable
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.store import (
    Database,
    Images,
    Jobs,
    Keys,
    Webhooks,
    WorkerHeartbeat,
    WorkerLabels,
    WorkerOffer,
    Workers,
    revisions,
)
from mezzotint.store.database import translate_faults
from mezzotint.store.migrations.baseline import STEPS
from mezzotint.store.schema import metadata
from tests.making import NOW
from tests.servers import Postgres, free_port

EARLIER = Path(__file__).parent / "earlier"


def differences(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


@pytest.mark.anyio
async def test_migrations_and_schema_agree(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


def load_earlier(address: Path | str) -> None:
    """A database of revision 0011, with rows, as the code of that time wrote it."""
    if isinstance(address, Path):
        with closing(sqlite3.connect(address)) as connection:
            connection.executescript((EARLIER / "0011.sqlite.sql").read_text())
        return

    async def load() -> None:
        connection = await asyncpg.connect(address)
        await connection.execute((EARLIER / "0011.postgresql.sql").read_text())
        await connection.close()

    run_in_thread(load)


def run_in_thread(work: Callable[[], Coroutine[None, None, None]]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(work())).result()


def take_steps(address: Path | str, until: str) -> None:
    """Bring a database of revision 0011 to a later one before the baseline."""
    url = f"sqlite:///{address}" if isinstance(address, Path) else address.replace("postgresql", "postgresql+asyncpg")

    def steps(connection: Connection) -> None:
        for begins_at, step in STEPS.items():
            if begins_at < until:
                step(Operations(MigrationContext.configure(connection)))
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{until}'")
        connection.commit()

    async def work() -> None:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            await connection.run_sync(steps)
        await engine.dispose()

    if isinstance(address, Path):
        engine = create_engine(url)
        with engine.connect() as connection:
            steps(connection)
        engine.dispose()
    else:
        run_in_thread(work)


@pytest.mark.anyio
@pytest.mark.parametrize("revision", STEPS)
async def test_a_database_of_an_earlier_revision_keeps_its_rows_and_gets_what_it_lacks(
    address: Path | str, revision: str
) -> None:
    load_earlier(address)
    take_steps(address, revision)
    database = Database(address)
    database.migrate()
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    jobs, ada = Jobs(database), TenantId("ada")
    states = [job.state for _, job in await jobs.of_tenant(ada, 10, None)]
    assert states == [JobState.CANCELLED, JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    (drawn,) = await Images(database).of_tenant(ada, 10, None, ())
    assert drawn.image.job == "job_000000000000000000000000"
    assert [key.user for key in await Keys(database).of_tenant(ada)] == [None]
    assert [hook.id for hook in await Webhooks(database).of_tenant(ada)] == ["wh_1"]
    (running,) = await jobs.running()
    assert (running.num_losses, [saved.step for saved in running.checkpoints]) == (0, [10])
    (claimed,) = await jobs.claim(WorkerOffer(worker=WorkerId("w2")), NOW, 30)
    assert claimed.id == "job_000000000000000000000002"
    await database.close()


@pytest.mark.parametrize("revision", ["0005", "0099"])
def test_a_database_of_a_revision_that_is_not_known_is_refused(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "mezzotint.db"
    Database(path).migrate()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()
    with pytest.raises(SettingInvalid, match=f"{revision}.*"):
        Database(path).migrate()


@pytest.mark.anyio
async def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'small.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 2")
        connection.exec_driver_sql("CREATE TABLE t (x)")
        with pytest.raises(StorageFull), translate_faults():
            connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(100000))")
    engine.dispose()


@pytest.mark.anyio
async def test_a_server_that_does_not_answer_is_named_and_counted() -> None:
    faults: list[str] = []
    database = Database(f"postgresql://a:b@127.0.0.1:{free_port()}/c", on_fault=lambda: faults.append("x"))
    with pytest.raises(StorageUnavailable):
        database.migrate()
    with pytest.raises(StorageUnavailable):
        async with database.write():
            pass
    assert faults == ["x", "x"]


def test_code_serves_a_database_that_the_next_version_brought_up_and_no_later_one(tmp_path: Path) -> None:
    path = tmp_path / "mezzotint.db"
    Database(path).migrate()
    for ahead, message in ((1, None), (2, "install a newer version here")):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (f"{revisions.CODE + ahead:04}",))
            connection.commit()
        if message is None:
            Database(path).migrate()
        else:
            with pytest.raises(SettingInvalid, match=message):
                Database(path).migrate()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (
                f"{revisions.CODE + ahead:04}",
            ), "nothing was changed"


@pytest.mark.anyio
async def test_a_database_is_not_brought_beyond_what_living_workers_can_use(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgres.database())
    database.migrate()
    now, worker = datetime.now(UTC), WorkerId("old")
    beat = WorkerHeartbeat(labels=WorkerLabels(schema=revisions.CODE))
    await Workers(database).record_heartbeat(worker, now, beat)
    monkeypatch.setattr(revisions, "CODE", revisions.CODE + 2)
    with pytest.raises(SettingInvalid, match=r"workers cannot use \(old\): roll out the version between first"):
        database.migrate()
    await Workers(database).record_heartbeat(worker, now, replace(beat, drained_at=now))
    database.migrate()
    await database.close()


@pytest.mark.parametrize("url", ["mysql://a@b/c", "not a url"])
def test_a_database_that_is_not_spoken_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid):
        Database(url)
