"""An index finds the oldest delivery that is due of each webhook.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NAME, SOME = "deliveries_pending", "next_at IS NOT NULL"


def upgrade() -> None:
    columns = ["webhook", "next_at"]
    op.create_index(NAME, "deliveries", columns, postgresql_where=sa.text(SOME), sqlite_where=sa.text(SOME))


def downgrade() -> None:
    op.drop_index(NAME, "deliveries")
