"""Real PostgreSQL and a real S3 for tests and benchmarks: started from wheels, on 127.0.0.1, ended by their owner."""

import asyncio
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.main.dev_up.local_server import free_port
from mezzotint.main.dev_up.postgres_server import PostgresServer
from mezzotint.main.dev_up.s3_server import S3Server
from mezzotint.store import Database

__all__ = ["IN_A_HURRY", "S3", "Postgres", "free_port", "query_rows", "running_postgres", "running_s3"]

IN_A_HURRY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""For tests that do not pull the plug."""
TEMPLATE = "migrated"


@dataclass(kw_only=True)
class Postgres(PostgresServer):
    """A PostgreSQL server with a database for each test. settings: `-c` options."""

    settings: tuple[str, ...] = IN_A_HURRY
    _number: int = 0
    _has_template: bool = False

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._number += 1
        name = f"test_{self._number}"
        _in_a_thread(lambda: asyncio.run(self.create_database(name)))
        return self.url(name)

    def migrated_database(self) -> str:
        """The URL of a new database with all tables. It is a copy: to migrate takes longer than most tests."""
        if not self._has_template:
            _in_a_thread(lambda: asyncio.run(self.create_database(TEMPLATE)))
            Database(self.url(TEMPLATE)).migrate()
            self._has_template = True
        self._number += 1
        name = f"test_{self._number}"
        _in_a_thread(lambda: asyncio.run(self._copy_template(name)))
        return self.url(name)

    async def _copy_template(self, name: str) -> None:
        import asyncpg

        connection = await asyncpg.connect(self.url("postgres"), timeout=self.start_s)
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" STRATEGY file_copy')
        finally:
            await connection.close()


@dataclass(kw_only=True)
class S3(S3Server):
    """Ended at once: with open clients it would take its time."""

    stop_signal: signal.Signals = signal.SIGKILL

    @property
    def environment_of_clients(self) -> dict[str, str]:
        return {f"MEZZOTINT_S3_{name.upper()}": value for name, value in self.options.items()}


@contextmanager
def running_postgres(settings: tuple[str, ...] = IN_A_HURRY) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="mezzotint-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(folder=Path(folder) / "server", settings=settings)
        server.init()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_s3() -> Iterator[S3]:
    with tempfile.TemporaryDirectory(prefix="mezzotint-s3-", ignore_cleanup_errors=True) as folder:
        server = S3(folder=Path(folder) / "server")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def query_rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Ask a database of PostgreSQL on a connection of its own."""

    async def ask() -> list[tuple[Any, ...]]:
        import asyncpg

        connection = await asyncpg.connect(url, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def _in_a_thread(work: Callable[[], None]) -> None:
    """Beside whatever loop this thread has."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()
