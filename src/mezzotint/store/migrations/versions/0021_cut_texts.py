"""Keep the part that the model read of texts that its text encoder cut."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cut_texts", sa.JSON()))
