"""Databases of development versions are brought to the baseline (`versions/0017_*`), which has all of their tables.

Revisions 0011 to 0016 lack a few columns and indexes, each step's to the next; earlier revisions are refused.
"""

from collections.abc import Callable

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from mezzotint.domain.errors import SettingInvalid

BASELINE = "0017"


def adopt_database(connection: sa.Connection) -> None:
    """Give a database of a merged revision what it lacks, and the baseline's number. Others stay as they are.

    Raises: SettingInvalid: its revision is older than those that were merged, or unknown.
    """
    context = MigrationContext.configure(connection)
    revision = context.get_current_revision()
    if revision is None or revision >= BASELINE:
        return
    if revision not in STEPS:
        raise SettingInvalid(
            f"database: its tables are of revision {revision}, of a development version too old to be brought up to "
            "date; use an empty database"
        )
    lacking = [begins_at for begins_at in STEPS if begins_at >= revision]
    for begins_at, ends_at in zip(lacking, [*lacking[1:], BASELINE], strict=True):
        STEPS[begins_at](Operations(context))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :new"), {"new": ends_at})
        connection.commit()


def _add_owners_of_keys(op: Operations) -> None:
    with op.batch_alter_table("keys") as keys:
        keys.add_column(sa.Column("user", sa.String(40), nullable=True))
        keys.create_foreign_key("keys_of_users", "users", ["user"], ["id"])
    _create_partial_index(op, "keys_of_user", "keys", ["user"], '"user" IS NOT NULL')


def _add_index_of_refusals(op: Operations) -> None:
    op.create_index("refusals_of_tenant", "refusals", ["tenant", "seq"])


def _add_lost_workers(op: Operations) -> None:
    for name in ("num_losses", "lost_step"):
        op.add_column("jobs", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    _create_partial_index(op, "jobs_suspected", "jobs", ["waits_in"], "num_losses > 0")


def _add_index_of_deliveries(op: Operations) -> None:
    _create_partial_index(op, "deliveries_pending", "deliveries", ["webhook", "next_at"], "next_at IS NOT NULL")


def _add_bytes_of_uploads(op: Operations) -> None:
    op.add_column("uploads", sa.Column("num_bytes", sa.BigInteger, nullable=False, server_default="0"))


def _drop_index_of_batches(op: Operations) -> None:
    op.drop_index("jobs_of_batch", "jobs")


def _create_partial_index(op: Operations, name: str, table: str, columns: list[str], some: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(some), sqlite_where=sa.text(some))


STEPS: dict[str, Callable[[Operations], None]] = {
    "0011": _add_owners_of_keys,
    "0012": _add_index_of_refusals,
    "0013": _add_lost_workers,
    "0014": _add_index_of_deliveries,
    "0015": _add_bytes_of_uploads,
    "0016": _drop_index_of_batches,
}
"""By the revision that a database has: the step to the next one, in order."""
