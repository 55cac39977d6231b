"""Run a command's work on the database, whether or not a server runs on it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar

from mezzotint.config import Settings

if TYPE_CHECKING:
    from mezzotint.store import Database

T = TypeVar("T")


def with_database(settings: Settings, work: "Callable[[Database], Coroutine[None, None, T]]") -> T:
    """Open and migrate the database that the settings name, run `work`, close it."""
    from mezzotint.main.data_folder import prepare_data_folder
    from mezzotint.main.stores import open_database
    from mezzotint.metrics import Metrics

    async def worked() -> T:
        prepare_data_folder(settings.data)
        database = open_database(settings, Metrics())
        await asyncio.to_thread(database.migrate)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(worked())
