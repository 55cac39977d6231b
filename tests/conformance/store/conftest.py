"""The store's suite runs on every database and every object store that the store speaks to."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from mezzotint.store import Database, Images, Jobs, Objects
from tests.servers import Postgres

_prefixes = count(1)


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Of a database: an empty one, or with all tables where the test takes `database` too."""
    is_migrated = "database" in request.fixturenames
    if request.param == "sqlite":
        path: Path = request.getfixturevalue("database_file") if is_migrated else tmp_path / "mezzotint.db"
        return path
    server: Postgres = request.getfixturevalue("postgres")
    return server.migrated_database() if is_migrated else server.database()


@pytest.fixture
async def database(address: Path | str) -> AsyncIterator[Database]:
    database = Database(address)
    yield database
    await database.close()


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


@pytest.fixture
def images(database: Database) -> Images:
    return Images(database)


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return Objects(tmp_path / "objects")
    return Objects(f"s3://media/suite-{next(_prefixes)}", s3=request.getfixturevalue("s3").options)
