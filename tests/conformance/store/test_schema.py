"""The migrations build exactly the tables that the code speaks of."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from mezzotint.store import Database
from mezzotint.store.schema import metadata


def test_migrations_and_schema_agree(tmp_path: Path) -> None:
    path = tmp_path / "mezzotint.db"
    Database(path).migrate()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "mezzotint.db")
    database.migrate()
    database.migrate()
