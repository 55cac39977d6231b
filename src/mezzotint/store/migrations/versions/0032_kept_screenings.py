"""Keep the text filter's verdict with each job, and the perceptual hash with each picture."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("screening", sa.JSON()))
    op.add_column("images", sa.Column("pdq", sa.String(64)))
    op.add_column("images", sa.Column("pdq_quality", sa.Integer()))
