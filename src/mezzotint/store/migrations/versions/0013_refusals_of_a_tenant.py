"""Refused prompts are bounded for each tenant: its newest are found by an index.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("refusals_of_tenant", "refusals", ["tenant", "seq"])


def downgrade() -> None:
    op.drop_index("refusals_of_tenant", "refusals")
