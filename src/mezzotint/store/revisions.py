"""The revision of the tables: of this code, and of a database that other versions use, too."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic.migration import MigrationContext
from sqlalchemy import Connection, select

from mezzotint.domain.errors import SettingInvalid
from mezzotint.policy.fleet.versions import explain_revision, list_left_behind
from mezzotint.store.schema import workers

VERSIONS = Path(__file__).parent / "migrations" / "versions"
CODE = max(int(file.name[:4]) for file in VERSIONS.glob("[0-9]*.py"))
"""The revision that this code was written for."""
LIVES = timedelta(minutes=2)
LABELS = 30
"""The revision from which on workers have labels; before it there were no fleets."""


def is_ahead(connection: Connection) -> bool:
    """Say whether the database was brought up by a newer version, which this one can work beside.

    Raises: SettingInvalid: it was brought further than that, or has workers that this version would leave behind.
    """
    said = MigrationContext.configure(connection).get_current_revision()
    database = int(said) if said is not None and said.isdecimal() else 0
    if (why := explain_revision(CODE, database)) is not None:
        raise SettingInvalid(f"database: {why}")
    if LABELS <= database < CODE and connection.dialect.name == "postgresql":
        _check_workers(connection, database)
    return database > CODE


def _check_workers(connection: Connection, database: int) -> None:
    """Raises: SettingInvalid."""
    here = select(workers.c.id, workers.c.limits).where(
        workers.c.seen_at >= datetime.now(UTC) - LIVES, workers.c.drained_at.is_(None)
    )
    rows = connection.execute(here).all()
    living = {id: int((limits or {}).get("schema", 0)) or database for id, limits in rows}
    if behind := list_left_behind(CODE, living):
        raise SettingInvalid(
            f"database: this version brings its tables to revision {CODE:04}, which {len(behind)} living workers "
            f"cannot use ({', '.join(behind)[:200]}): roll out the version between first, or end them"
        )
