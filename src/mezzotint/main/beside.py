"""Work on the rows, beside a server that runs or not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar

from mezzotint.config import Settings

if TYPE_CHECKING:
    from mezzotint.store import Database

T = TypeVar("T")


def beside(settings: Settings, work: "Callable[[Database], Coroutine[None, None, T]]") -> T:
    """Does it on the database that the settings name, brought to the newest tables."""
    from mezzotint.main.data import make
    from mezzotint.main.desk import open_database
    from mezzotint.metrics import Metrics

    async def worked() -> T:
        make(settings.data)
        database = open_database(settings, Metrics())
        await asyncio.to_thread(database.migrate)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(worked())
