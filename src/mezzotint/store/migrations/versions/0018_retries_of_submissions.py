"""Count the retries that a client announced: each first try makes jobs of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("submissions", sa.Column("num_retries", sa.Integer(), nullable=False, server_default="0"))
