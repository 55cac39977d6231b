"""The database: SQLite in a file by default, PostgreSQL where several processes share the work.

SQLite: reads see a snapshot; a writer waits for the write lock at its start. PostgreSQL: read committed;
`store/queue/__init__.py` has the order in which rows are locked.
"""

import asyncio
import sqlite3
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from pydantic_core import from_json, to_json
from sqlalchemy import URL, Connection, Table, create_engine, event, inspect, make_url, text
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from mezzotint.domain.errors import SettingInvalid, StorageFull, StorageUnavailable
from mezzotint.store.migrations.baseline import adopt_database
from mezzotint.store.revisions import is_ahead
from mezzotint.store.sqlite import Driver

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 6_380_941
"""Any number; processes that start together migrate one after the other."""
LOCK = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS keys (key)")
"""Takes the locks in the order of the array."""
CONNECT_S = 5
STATEMENT_S = 30
BY_INDEX = ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin")
PLANS = dict.fromkeys(BY_INDEX, "off") | {"plan_cache_mode": "force_generic_plan"}
"""Statements find their rows by index, and in its order. Plans are kept: one made for a small table would read all of a
large one, and to make one takes longer than to run it."""
POOL = 12
"""Connections a process; more would only wait for each other's locks."""
POOLED = {
    "pool_size": POOL,
    "max_overflow": 0,
    "pool_timeout": STATEMENT_S,
    "pool_recycle": 1800,
    "pool_use_lifo": True,  # few that are warm, statements prepared, before many
}
BUSY_S = 10
"""Longest wait of a writer for its turn in this process, and again for a lock that another process holds."""
SQLITE_TRY_AGAIN = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
SQLITE_AWAY = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
DISK_FULL, READ_ONLY = "53100", "25006"
TRY_AGAIN = {"40001", "40P01", "55P03"}
"""PostgreSQL's serialization failure, deadlock and lock that cannot be had."""
AWAY = {"08", "28", "3D", "53", "57"}
"""PostgreSQL's classes of connection faults, of credentials and of databases that it does not know, of too little of
something (connections, memory), and of a stop."""
JSON = {"json_serializer": lambda value: to_json(value).decode(), "json_deserializer": from_json}
"""Converts a job's documents in a third of the time that the standard library takes."""


class Database:
    """Transactions on the SQLite file at a path, or on the database that a URL names.

    on_fault: called when the database fails.
    """

    def __init__(self, address: Path | str, on_fault: Callable[[], None] = lambda: None) -> None:
        self.url = url_of(address)
        self.is_postgres = self.url.get_backend_name() == "postgresql"
        self._on_fault = on_fault
        self._writers = asyncio.Lock()
        if self.is_postgres:
            self._engine = self._postgres()
            # read committed: a transaction would show a reader no more, and each of its ends be a way there and back
            self._readers = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        else:
            self._engine = self._readers = create_async_engine(self.url, module=Driver(), **JSON)
            event.listen(self._engine.sync_engine, "connect", _prepare)
            event.listen(self._engine.sync_engine, "begin", _begin)

    def _postgres(self, **options: Any) -> AsyncEngine:
        settings = {"application_name": "mezzotint"} | PLANS
        connect = {"timeout": CONNECT_S, "command_timeout": STATEMENT_S, "server_settings": settings}
        return create_async_engine(self.url, connect_args=connect, **JSON, **(options or POOLED))

    def migrate(self) -> None:
        """Bring the tables to the newest revision. Run it before the first transaction; it blocks.

        Raises: StorageUnavailable; SettingInvalid: the tables are of a version that is too old, or too new, or living
        workers could not use them any more.
        """

        async def migrate_postgres() -> None:
            engine = self._postgres(poolclass=NullPool)
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
                await connection.commit()
                await connection.run_sync(_upgrade)

        with translate_faults(self._on_fault):
            if self.is_postgres:
                _beside_any_loop(migrate_postgres)
            else:
                engine = create_engine(self.url.set(drivername="sqlite"), poolclass=NullPool)
                with engine.connect() as connection:
                    _upgrade(connection)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """SQLite: one snapshot. PostgreSQL: each statement sees its own, and is told without BEGIN and COMMIT.

        Raises: StorageUnavailable.
        """
        with translate_faults(self._on_fault):
            async with self._readers.connect() as connection, connection.begin():
                yield connection

    async def has_tables(self) -> bool:
        """Say whether a server or `mezzotint init` has made the tables. Raises: StorageUnavailable."""
        async with self.read() as connection:
            return await connection.run_sync(lambda plain: inspect(plain).has_table("alembic_version"))

    async def check(self) -> None:
        """Returns when the database answers. Raises: StorageUnavailable."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def write(self, *, is_one: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that is durable when the block ends. Raises: StorageUnavailable, StorageFull.

        is_one: PostgreSQL is told one statement only, which is a transaction without being told so.
        """
        with translate_faults(self._on_fault):
            async with self._turn(), self._engine.connect() as plain:
                if is_one and self.is_postgres:
                    yield await plain.execution_options(isolation_level="AUTOCOMMIT")
                    return
                connection = await plain.execution_options(takes_write_lock=True)
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """SQLite: writers of this process queue here, first come first served.

        In SQLite they would sleep and try again in any order, each with a connection of the pool in its hands. While
        another process holds the lock each writer in turn waits for it in vain: those behind it give up, too.
        """
        if self.is_postgres:
            yield
            return
        async with asyncio.timeout(BUSY_S):
            await self._writers.acquire()
        try:
            yield
        finally:
            self._writers.release()

    async def lock(self, connection: AsyncConnection, *names: str) -> None:
        """Let transactions that name the same go on one at a time from here; SQLite has only one writer anyway.

        Several names are locked in one order, before any row is, so that nobody waits in a circle.
        """
        if self.is_postgres:
            keys = sorted(MIGRATION_LOCK + 1 + zlib.crc32(name.encode()) for name in names)
            await connection.execute(LOCK, {"keys": keys})

    async def close(self) -> None:
        await self._engine.dispose()


INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgres_insert, "sqlite": sqlite_insert}
"""An insert that can say what to do when the row is there; both databases say it the same way."""


def insert_on(connection: AsyncConnection, table: Table) -> Any:
    return INSERTS[connection.dialect.name](table)


def url_of(address: Path | str) -> URL:
    """The address with the driver that is used. Raises: SettingInvalid."""
    if isinstance(address, Path):
        return URL.create("sqlite+aiosqlite", database=str(address))
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise SettingInvalid("database: use postgresql://user:password@host:port/name, or sqlite:///path") from error
    match url.drivername:
        case "postgresql" | "postgres" | "postgresql+asyncpg":
            return url.set(drivername="postgresql+asyncpg")
        case "sqlite" | "sqlite+aiosqlite":
            return url.set(drivername="sqlite+aiosqlite")
        case other:
            raise SettingInvalid(f"database: {other} is not spoken; use postgresql:// or sqlite:///")


@contextmanager
def translate_faults(on_fault: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Faults of the disk, the server and the way to it in our words."""
    try:
        yield
    except Exception as error:  # drivers raise their own kinds while they connect, unseen by SQLAlchemy
        fault = _fault(error)
        if fault is None:
            raise
        on_fault()
        raise fault from error


def _fault(error: Exception) -> StorageUnavailable | None:
    """The fault that an error stands for; None: a mistake in this program."""
    if isinstance(error, StorageUnavailable):
        return None
    if isinstance(error, (OSError, PoolTimeout)):  # refused, reset, timed out; a time limit is an OSError too
        return StorageUnavailable(f"the database does not answer ({type(error).__name__})")
    cause = error.orig if isinstance(error, DBAPIError) else error
    state, code = getattr(cause, "sqlstate", None) or "", getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or state == DISK_FULL:
        return StorageFull("the disk of the database is full")
    if code in SQLITE_DAMAGED | SQLITE_TRY_AGAIN or state in TRY_AGAIN:
        is_damaged = code in SQLITE_DAMAGED
        return StorageUnavailable("the file is damaged" if is_damaged else "the database is busy with another writer")
    is_cut = isinstance(error, DBAPIError) and error.connection_invalidated
    if is_cut or code in SQLITE_AWAY or state[:2] in AWAY or state == READ_ONLY or "connection is closed" in str(cause):
        return StorageUnavailable("the database does not answer")
    return None


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    adopt_database(connection)
    if not is_ahead(connection):
        command.upgrade(config, "head")
    connection.commit()


def _beside_any_loop(work: Callable[[], Any]) -> None:
    """Run async work to its end, whether or not this thread has a loop."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failed.append(error)

    thread = threading.Thread(target=run, name="migrate")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _prepare(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself: `_begin` does
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={int(BUSY_S * 1000)}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = bool(connection.get_execution_options().get("takes_write_lock", False))
    plain: Any = connection.connection.dbapi_connection
    plain.begin(writes=writes)
