"""Jobs, pictures, uploads and webhooks get an owner inside their tenant; present rows stay the whole tenant's."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    for table in ("jobs", "images", "uploads", "webhooks"):
        op.add_column(table, sa.Column("owner", sa.String(80), nullable=False, server_default=""))
    op.add_column("tenants", sa.Column("visibility", sa.String(8), nullable=False, server_default="private"))
    for table in ("jobs", "images"):
        op.create_index(f"{table}_of_owner", table, ["tenant", "owner", "seq"])
    op.create_index("uploads_of_owner", "uploads", ["tenant", "content", "owner"], unique=True)
    op.drop_index("uploads_of_tenant", "uploads")
