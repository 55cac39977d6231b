"""Say in which region a job came in, and which regions there are."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("region", sa.String(64)))
    waiting = sa.text("waits_in IS NOT NULL AND region IS NOT NULL")
    op.create_index(
        "jobs_waiting_in_region",
        "jobs",
        ["waits_in", "region", "seq"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
    op.create_table("regions", sa.Column("name", sa.String(64), primary_key=True))
