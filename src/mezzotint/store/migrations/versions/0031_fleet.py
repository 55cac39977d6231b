"""The fleet: what its operator wants, its workers, and the controller's decisions."""

import sqlalchemy as sa
from alembic import op

from mezzotint.store.schema import Instant, Ordinal

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.create_table(
        "fleets",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("phase", sa.String(12), nullable=False),
        sa.Column("namespace", sa.String(64), nullable=False),
        sa.Column("ray_address", sa.String(200), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("is_local", sa.Boolean(), nullable=False),
        sa.Column("is_autoscaled", sa.Boolean(), nullable=False),
        sa.Column("scaled", sa.JSON(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("controller_node", sa.String(100), nullable=False),
        sa.Column("controller_seen_at", Instant()),
    )
    op.create_table(
        "fleet_targets",
        sa.Column("pool", sa.String(40), primary_key=True),
        sa.Column("num_workers", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_table(
        "fleet_workers",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("pool", sa.String(40), nullable=False),
        sa.Column("region", sa.String(40), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("is_created", sa.Boolean(), nullable=False),
        sa.Column("was_ready", sa.Boolean(), nullable=False),
        sa.Column("is_drain_wanted", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("device", sa.String(100), nullable=False),
        sa.Column("node", sa.String(100), nullable=False),
        sa.Column("num_running", sa.Integer(), nullable=False),
        sa.Column("seen_at", Instant()),
    )
    op.create_index("fleet_workers_by_change", "fleet_workers", ["changed_at"])
    op.create_table(
        "fleet_decisions",
        sa.Column("seq", Ordinal, primary_key=True),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("pool", sa.String(40), nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
