"""Remember for a while which jobs a worker left behind when it ended."""

import sqlalchemy as sa
from alembic import op

from mezzotint.store.schema import Instant

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.create_table(
        "worker_losses",
        sa.Column("worker", sa.String(64), primary_key=True),
        sa.Column("job", sa.String(40), primary_key=True),
        sa.Column("at", Instant, nullable=False),
    )
    op.create_index("worker_losses_at", "worker_losses", ["at"])
