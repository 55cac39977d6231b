"""Indexes hold only the jobs that are looked for by them: every change of a row writes each index that it stands in.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEXES = {
    "jobs_of_batch": (["batch", "seq"], "batch IS NOT NULL"),
    "jobs_waiting": (["waits_in", "seq"], "waits_in IS NOT NULL"),
    "jobs_waiting_of_tenant": (["waits_in", "tenant", "seq"], "waits_in IS NOT NULL"),
    "jobs_due": (["due_at"], "due_at IS NOT NULL"),
    "jobs_started": (["started_at"], "started_at IS NOT NULL"),
    "jobs_leases": (["lease_expires_at"], "lease_expires_at IS NOT NULL"),
}


def upgrade() -> None:
    for name, (columns, some) in INDEXES.items():
        op.drop_index(name, "jobs")
        op.create_index(name, "jobs", columns, postgresql_where=sa.text(some), sqlite_where=sa.text(some))


def downgrade() -> None:
    for name, (columns, _) in INDEXES.items():
        op.drop_index(name, "jobs")
        op.create_index(name, "jobs", columns)
