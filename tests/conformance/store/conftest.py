"""The store's suite runs on every database that the store speaks to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mezzotint.store import Database, Images, Jobs


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "mezzotint.db")
    database.migrate()
    yield database
    await database.close()


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


@pytest.fixture
def images(database: Database) -> Images:
    return Images(database)
