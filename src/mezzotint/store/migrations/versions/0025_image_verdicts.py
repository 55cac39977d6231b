"""Keep the verdict and the scores of pictures, and pictures that are not delivered."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
AT = sa.DateTime(timezone=True)
ORDINAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("images", sa.Column("verdict", sa.String(8), nullable=False, server_default="allow"))
    op.add_column("images", sa.Column("scores", sa.JSON()))
    op.add_column("images", sa.Column("filter_version", sa.String(80)))
    op.create_table(
        "held_images",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("job", sa.String(40), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("filter_version", sa.String(80), nullable=False),
        sa.Column("key", sa.String(200)),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("decided_at", AT),
        sa.Column("decided_by", sa.String(200)),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("held_images_of_job", "held_images", ["job", "position"], unique=True)
    op.create_index("held_images_in_state", "held_images", ["state", "seq"])
    op.create_index(
        "held_images_kept",
        "held_images",
        ["created_at"],
        postgresql_where=sa.text("key IS NOT NULL"),
        sqlite_where=sa.text("key IS NOT NULL"),
    )
