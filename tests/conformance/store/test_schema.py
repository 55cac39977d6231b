"""The migrations build exactly the tables that the code speaks of, on every database."""

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from mezzotint.domain.errors import SettingInvalid, StorageFull, StorageUnavailable
from mezzotint.store import Database
from mezzotint.store.database import translate_faults
from mezzotint.store.schema import metadata
from tests.servers import free_port


def differences(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


@pytest.mark.anyio
async def test_migrations_and_schema_agree(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


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


@pytest.mark.parametrize("url", ["mysql://a@b/c", "not a url"])
def test_a_database_that_is_not_spoken_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid):
        Database(url)
