"""The verdict and the score that an audited picture had when it was delivered."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    for name in ("verdict_before", "verdict_now"):
        op.add_column("audit_findings", sa.Column(name, sa.String(8), nullable=False, server_default=""))
    op.add_column("audit_findings", sa.Column("score_before", sa.Float()))
