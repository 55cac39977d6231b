"""Give workers labels, limits and a wish that they end."""

import sqlalchemy as sa
from alembic import op

from mezzotint.store.schema import Instant

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    for name, length in (("pool", 64), ("region", 64), ("version", 40), ("drain_reason", 200)):
        op.add_column("workers", sa.Column(name, sa.String(length), nullable=False, server_default=""))
    op.add_column("workers", sa.Column("limits", sa.JSON()))
    op.add_column("workers", sa.Column("drain_wanted_at", Instant))
    op.add_column("workers", sa.Column("drained_at", Instant))
