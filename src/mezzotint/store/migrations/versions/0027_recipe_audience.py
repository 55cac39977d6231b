"""Keep who finds the recipe in the files of a tenant's pictures, in the place of a switch for content credentials."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("recipe_audience", sa.String(9), nullable=False, server_default="owner"))
    op.execute(sa.text("UPDATE tenants SET recipe_audience = 'everybody' WHERE shows_prompt"))
    op.drop_column("tenants", "shows_prompt")
