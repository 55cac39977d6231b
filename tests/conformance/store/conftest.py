"""The store's suite runs on every database and every object store that the store speaks to."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from shutil import copyfile

import pytest

from mezzotint.store import Database, Images, Jobs, Objects

_prefixes = count(1)


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Of an empty database."""
    if request.param == "sqlite":
        return tmp_path / "mezzotint.db"
    url: str = request.getfixturevalue("postgres").database()
    return url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, which tests copy: to migrate takes longer than most of them."""
    path = tmp_path_factory.mktemp("migrated") / "mezzotint.db"
    Database(path).migrate()
    return path


@pytest.fixture
async def database(address: Path | str, migrated_file: Path) -> AsyncIterator[Database]:
    database = Database(address)
    if isinstance(address, Path):
        copyfile(migrated_file, address)
    else:
        database.migrate()
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
