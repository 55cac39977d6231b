"""Count the denoiser's calls that were computed and foretold, of a job and in the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    for table in ("jobs", "ledger"):
        for name in ("num_passes", "num_forecast"):
            op.add_column(table, sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
