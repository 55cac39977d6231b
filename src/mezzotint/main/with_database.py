"""Run a command's work on the database, whether or not a server runs on it."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar

from mezzotint.config import Settings

if TYPE_CHECKING:
    from mezzotint.store import Database

T = TypeVar("T")


def with_database(settings: Settings, work: "Callable[[Database], Coroutine[None, None, T]]") -> T:
    """Open the database that the settings name, say which one it is, run `work`, close it.

    The database is brought to this version, but none is made. Raises: DatabaseMissing, StoreUnusable.
    """
    from mezzotint.main.data_folder import prepare_data_folder
    from mezzotint.main.stores import describe_database, find_database, migrate_database, open_database
    from mezzotint.metrics import Metrics

    async def run_work() -> T:
        await find_database(settings)
        if settings.database is None:
            prepare_data_folder(settings.data)
        database = open_database(settings, Metrics())
        try:
            await migrate_database(settings, database)
            return await work(database)
        finally:
            await database.close()

    print(f"database {describe_database(settings)}", file=sys.stderr)  # noqa: T201
    return asyncio.run(run_work())
