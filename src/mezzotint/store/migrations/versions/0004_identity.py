"""Tenants, users, sessions and keys"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tier", sa.String(8), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("disabled_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("name", sa.String(254), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("disabled_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("users_of_tenant", "users", ["tenant"])
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("user", sa.String(40), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"]),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("sessions_of_user", "sessions", ["user"])
    op.create_table(
        "keys",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("prefix", sa.String(20), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(40), nullable=False),
        sa.Column("old_prefix", sa.String(20), nullable=True),
        sa.Column("old_digest", sa.String(64), nullable=True),
        sa.Column("old_until", AT, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=True),
        sa.Column("revoked_at", AT, nullable=True),
        sa.Column("last_used_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("prefix"),
        sa.UniqueConstraint("old_prefix"),
    )
    op.create_index("keys_of_tenant", "keys", ["tenant"])


def downgrade() -> None:
    for table in ("keys", "sessions", "users", "tenants"):
        op.drop_table(table)
