"""Keep what workers report of themselves, and the health of their devices."""

import sqlalchemy as sa
from alembic import op

from mezzotint.store.schema import Instant

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.add_column("workers", sa.Column("device", sa.String(120), nullable=False, server_default=""))
    op.add_column("workers", sa.Column("report", sa.JSON()))
    op.create_table(
        "devices",
        sa.Column("device", sa.String(120), primary_key=True),
        sa.Column("verdict", sa.String(12), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("signed_at", Instant),
        sa.Column("num_quarantines", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
