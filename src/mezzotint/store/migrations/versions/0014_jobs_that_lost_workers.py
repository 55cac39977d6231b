"""Jobs say how many workers ended while they ran them: such a job runs alone next, and is given up after the second.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SOME = sa.text("num_losses > 0")


def upgrade() -> None:
    for name in ("num_losses", "lost_step"):
        op.add_column("jobs", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.create_index("jobs_suspected", "jobs", ["waits_in"], postgresql_where=SOME, sqlite_where=SOME)


def downgrade() -> None:
    op.drop_index("jobs_suspected", "jobs")
    for name in ("num_losses", "lost_step"):
        op.drop_column("jobs", name)
