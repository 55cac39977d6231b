"""A key that a user makes is theirs: it may do no more than they may, and ends with them.

Who made the keys that are there already is not known: they stay their tenants'.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("keys") as keys:
        keys.add_column(sa.Column("user", sa.String(40), nullable=True))
        keys.create_foreign_key("keys_of_users", "users", ["user"], ["id"])
    some = sa.text('"user" IS NOT NULL')
    op.create_index("keys_of_user", "keys", ["user"], postgresql_where=some, sqlite_where=some)


def downgrade() -> None:
    op.drop_index("keys_of_user", "keys")
    with op.batch_alter_table("keys") as keys:
        keys.drop_constraint("keys_of_users", type_="foreignkey")
        keys.drop_column("user")
