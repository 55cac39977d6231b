"""Find stored pictures by what decides their bits, and let a tenant do without."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("reuse_scope", sa.String(8)))
    op.add_column("jobs", sa.Column("reuse_key", sa.String(64)))
    op.add_column("jobs", sa.Column("reused_from", sa.String(40)))
    op.create_index(
        "jobs_reusable",
        "jobs",
        ["tenant", "reuse_key", "seq"],
        postgresql_where=sa.text("reuse_key IS NOT NULL"),
        sqlite_where=sa.text("reuse_key IS NOT NULL"),
    )
    op.add_column("tenants", sa.Column("reuses_pictures", sa.Boolean(), nullable=False, server_default=sa.true()))
