"""`mezzotint init`: data folder, secret, signing authority, database and object store, before any server runs."""

import asyncio

from mezzotint.config import Settings
from mezzotint.domain.errors import DatabaseMissing
from mezzotint.main.data_folder import load_secret, prepare_data_folder
from mezzotint.main.provenance.signing import find_signer
from mezzotint.main.stores import (
    check_objects,
    describe_database,
    find_database,
    migrate_database,
    open_backing,
    open_database,
)
from mezzotint.metrics import Metrics
from mezzotint.store import Store


def init(settings: Settings) -> None:
    """Make what is missing, and leave alone what is there. Raises: StartError."""
    prepare_data_folder(settings.data)
    load_secret(settings)
    find_signer(settings)
    made = asyncio.run(_make_stores(settings))
    print(f"data      {settings.data.resolve()}")  # noqa: T201
    print(f"database  {describe_database(settings)}  ({'made' if made else 'was there'})")  # noqa: T201
    print("Next: `mezzotint tenants create NAME`, `mezzotint users create NAME --tenant T --admin`, `mezzotint serve`")  # noqa: T201


async def _make_stores(settings: Settings) -> bool:
    """Returns whether there was no database before."""
    try:
        await find_database(settings)
        is_new = False
    except DatabaseMissing:
        is_new = True
    metrics = Metrics()
    database = open_database(settings, metrics)
    try:
        await migrate_database(settings, database)
        await check_objects(settings, open_backing(settings, Store(database), metrics).objects)
    finally:
        await database.close()
    return is_new
