"""Let a tenant show its prompts in its pictures' content credentials."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("shows_prompt", sa.Boolean(), nullable=False, server_default=sa.false()))
