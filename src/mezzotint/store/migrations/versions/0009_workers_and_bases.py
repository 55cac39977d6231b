"""Workers that can be drained, and the lanes' bases that an admin set.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True)),
        sa.Column("is_drained", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column("shares", sa.Column("base", sa.Float()))


def downgrade() -> None:
    op.drop_column("shares", "base")
    op.drop_table("workers")
