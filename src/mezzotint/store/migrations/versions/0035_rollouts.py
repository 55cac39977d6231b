"""Rollouts of the fleet, and the counts of its workers' runs."""

import sqlalchemy as sa
from alembic import op

from mezzotint.store.schema import Instant, Ordinal

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    op.add_column("fleets", sa.Column("changes", sa.JSON(), nullable=False, server_default="{}"))
    for name in ("num_runs", "num_failed"):
        op.add_column("fleet_workers", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "fleet_rollouts",
        sa.Column("seq", Ordinal, primary_key=True),
        sa.Column("old", sa.String(40), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("pools", sa.JSON(), nullable=False),
        sa.Column("phase", sa.String(12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("baseline", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "fleet_counts",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("label", sa.String(40), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
