"""One database: SQLite in a file by default. Reads see a snapshot; a writer waits for the write lock at its start."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from mezzotint.domain.errors import StorageFull, StorageUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """Transactions on the SQLite file at `path`. on_fault: called when the database fails."""

    def __init__(self, path: Path, on_fault: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._on_fault = on_fault
        self._engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        event.listen(self._engine.sync_engine, "connect", _prepare)
        event.listen(self._engine.sync_engine, "begin", _begin)

    def migrate(self) -> None:
        """Bring the tables to the newest revision. Run it before the first transaction; it blocks."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("sqlalchemy.url", f"sqlite:///{self.path}".replace("%", "%%"))
        command.upgrade(config, "head")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        with translated(self._on_fault):
            async with self._engine.connect() as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is durable when the block ends."""
        with translated(self._on_fault):
            async with self._engine.connect() as plain:
                connection = await plain.execution_options(takes_write_lock=True)
                async with connection.begin():
                    yield connection

    async def close(self) -> None:
        await self._engine.dispose()


@contextmanager
def translated(on_fault: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Faults of the disk in our words."""
    try:
        yield
    except OperationalError as error:
        on_fault()
        if "full" in str(error.orig):
            raise StorageFull("the disk of the data folder is full") from error
        if any(word in str(error.orig) for word in ("unable to open", "disk I/O", "readonly")):
            raise StorageUnavailable(f"the database cannot be used: {error.orig}") from error
        raise


def _prepare(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself: `_begin` does
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE: a reader that turns writer half-way fails with "database is locked" instead of waiting
    takes_write_lock = connection.get_execution_options().get("takes_write_lock", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if takes_write_lock else "BEGIN")
