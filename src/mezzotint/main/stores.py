"""Open the database, the object store and the event bus that the settings name."""

import os
import secrets
import socket
from datetime import timedelta

from mezzotint.actions.finish import Desk
from mezzotint.config import Settings, s3_options
from mezzotint.domain.errors import SettingInvalid
from mezzotint.domain.ids import WorkerId
from mezzotint.metrics import Metrics
from mezzotint.policy.retention import Retention
from mezzotint.store import Database, EventBus, Objects, PostgresEventBus, Store


def open_database(settings: Settings, metrics: Metrics) -> Database:
    """Raises: SettingInvalid."""
    address = settings.database.get_secret_value() if settings.database else settings.data / "mezzotint.db"
    try:
        return Database(address, on_fault=metrics.storage_faults.labels(store="database").inc)
    except ImportError as error:
        raise SettingInvalid("database: PostgreSQL needs pip install 'mezzotint[postgres]'") from error


def open_desk(settings: Settings, store: Store, metrics: Metrics) -> Desk:
    """Raises: SettingInvalid."""
    place = settings.objects or settings.data / "objects"
    on_fault = metrics.storage_faults.labels(store="objects").inc
    objects = Objects(place, on_fault=on_fault, s3=s3_options(settings))
    bus = PostgresEventBus(store.database, store.jobs) if store.database.is_postgres else EventBus()
    return Desk(jobs=store.jobs, objects=objects, bus=bus, metrics=metrics)


def read_retention(settings: Settings) -> Retention:
    return Retention(
        max_refusals=settings.refusals_per_tenant,
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
