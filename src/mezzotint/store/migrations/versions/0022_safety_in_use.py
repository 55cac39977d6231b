"""Hard rules in use, tightenings, appeals and the audit of their changes; what a refusal rests on."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
AT = sa.DateTime(timezone=True)
ORDINAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "safety_audit",
        sa.Column("seq", ORDINAL, primary_key=True),
        sa.Column("at", AT, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
        sa.Column("reason", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("safety_audit_of_action", "safety_audit", ["action", "seq"])
    op.create_table(
        "hard_rules",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("all_of", sa.JSON, nullable=False),
        sa.Column("none_of", sa.JSON, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT),
        sa.Column("removed_at", AT),
    )
    op.create_index("hard_rules_by_time", "hard_rules", ["created_at", "id"])
    op.create_table(
        "tightenings",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("category", sa.String(40)),
        sa.Column("by", sa.Float, nullable=False),
        sa.Column("starts_at", AT, nullable=False),
        sa.Column("ends_at", AT, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("tightenings_by_end", "tightenings", ["ends_at"])
    op.create_table(
        "appeals",
        sa.Column("seq", ORDINAL, primary_key=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("refusal", sa.String(40), nullable=False, unique=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("text_hash", sa.String(64), nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("explanation", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("decided_at", AT),
        sa.Column("decided_by", sa.String(200)),
        sa.Column("note", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("appeals_in_state", "appeals", ["state", "seq"])
    op.create_index("appeals_of_owner", "appeals", ["tenant", "owner", "seq"])
    op.add_column("refusals", sa.Column("id", sa.String(40)))
    op.add_column("refusals", sa.Column("owner", sa.String(80), nullable=False, server_default=""))
    op.add_column("refusals", sa.Column("category", sa.String(40), nullable=False, server_default=""))
    op.add_column("refusals", sa.Column("text_hash", sa.String(64), nullable=False, server_default=""))
    op.add_column("refusals", sa.Column("evidence", sa.JSON))
    op.create_index("refusals_by_id", "refusals", ["id"], unique=True)
