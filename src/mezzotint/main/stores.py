"""Open, look at and make the database, the object store and the event bus that the settings name."""

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from mezzotint.actions.finish import BackingServices
from mezzotint.config import Settings, s3_options
from mezzotint.domain.errors import DatabaseMissing, SettingInvalid, StorageUnavailable, StoreUnusable
from mezzotint.domain.ids import WorkerId
from mezzotint.metrics import Metrics
from mezzotint.policy.retention import Retention
from mezzotint.store import Database, EventBus, Objects, PostgresEventBus, Store
from mezzotint.store.database import url_of


def database_address(settings: Settings) -> str | Path:
    return settings.database.get_secret_value() if settings.database else settings.data / "mezzotint.db"


def describe_database(settings: Settings) -> str:
    """The database as people know it: its file, or its host, port and name. Raises: SettingInvalid."""
    url = url_of(database_address(settings))
    if url.get_backend_name() == "postgresql":
        return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"
    return str(Path(url.database or "").resolve())


async def find_database(settings: Settings) -> None:
    """Return when the database is there and has Mezzotint's tables. Makes nothing.

    Raises: DatabaseMissing, StoreUnusable, SettingInvalid.
    """
    name = describe_database(settings)
    file = Path(name)
    if name.startswith("/") and not await asyncio.to_thread(lambda: file.exists() and file.stat().st_size > 0):
        raise DatabaseMissing(f"there is no database {name}")
    database = open_database(settings, Metrics())
    try:
        with name_faults(f"the database {name}"):
            if not await database.has_tables():
                raise DatabaseMissing(f"the database {name} has no tables of Mezzotint")
    finally:
        await database.close()


async def migrate_database(settings: Settings, database: Database) -> None:
    """Make the tables, or bring them to this version. Raises: StoreUnusable, SettingInvalid."""
    with name_faults(f"the database {describe_database(settings)}"):
        await asyncio.to_thread(database.migrate)


async def check_objects(settings: Settings, objects: Objects) -> None:
    """Return when the object store takes an object and gives it back. Raises: StoreUnusable."""
    key = f"probe/{secrets.token_hex(8)}"
    with name_faults(f"the object store {settings.objects or settings.data / 'objects'}"):
        await objects.put(key, b"x")
        await objects.delete([key])


@contextmanager
def name_faults(what: str) -> Iterator[None]:
    """Say which store failed, and why. Raises: StoreUnusable."""
    try:
        yield
    except StorageUnavailable as error:
        reasons = [str(error), str(error.__cause__ or "").partition("\n")[0]]
        raise StoreUnusable(f"{what}: {': '.join(reason for reason in reasons if reason)[:500]}") from error


def open_database(settings: Settings, metrics: Metrics) -> Database:
    """Raises: SettingInvalid."""
    try:
        return Database(database_address(settings), on_fault=metrics.storage_faults.labels(store="database").inc)
    except ImportError as error:
        raise SettingInvalid("database: PostgreSQL needs pip install 'mezzotint[postgres]'") from error


def open_objects(settings: Settings, metrics: Metrics) -> Objects:
    """Raises: SettingInvalid."""
    place = settings.objects or settings.data / "objects"
    on_fault = metrics.storage_faults.labels(store="objects").inc
    return Objects(place, on_fault=on_fault, s3=s3_options(settings))


def open_backing(settings: Settings, store: Store, metrics: Metrics) -> BackingServices:
    """Raises: SettingInvalid."""
    objects = open_objects(settings, metrics)
    bus = PostgresEventBus(store.database, store.jobs) if store.database.is_postgres else EventBus()
    return BackingServices(jobs=store.jobs, objects=objects, bus=bus, metrics=metrics)


def read_retention(settings: Settings) -> Retention:
    return Retention(
        max_refusals=settings.refusals_per_tenant,
        keeps_refused_prompts=settings.refusal_prompts,
        max_refusal_chars=settings.refusal_chars,
        refusals_for=timedelta(days=settings.refusal_days),
        max_unstarted=settings.unstarted_jobs_per_tenant,
        unstarted_for=timedelta(days=settings.unstarted_job_days),
    )


def make_worker_id(database: Database) -> WorkerId:
    """SQLite has one worker, which finds its jobs again after a restart; elsewhere each process is a new one."""
    if not database.is_postgres:
        return WorkerId("embedded")
    return WorkerId(f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}")
