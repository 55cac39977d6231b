"""Takedowns, the pictures that they withdrew, the blocklist, and audits of pictures."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
AT = sa.DateTime(timezone=True)
ORDINAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTS = ("last_seq", "cursor", "num_seen")


def upgrade() -> None:
    op.create_table(
        "takedowns",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("phase", sa.String(12), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(200), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("ends_at", AT, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("num_pictures", "num_uploads", "num_moved", "num_bytes")
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", AT),
        sa.Column("failure", sa.String(200)),
        sa.Column("undone_at", AT),
        sa.Column("undone_by", sa.String(200)),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("takedowns_in_phase", "takedowns", ["phase", "ends_at"])
    op.create_index("takedowns_of_selection", "takedowns", ["digest"])
    op.create_table(
        "withdrawn",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("takedown", sa.String(40), sa.ForeignKey("takedowns.id"), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("job", sa.String(40)),
        sa.Column("png", sa.String(64), nullable=False),
        sa.Column("webp", sa.String(64)),
        sa.Column("row", sa.JSON()),
        sa.Column("is_moved", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("withdrawn_of_takedown", "withdrawn", ["takedown", "seq"])
    op.create_index("withdrawn_png", "withdrawn", ["png"])
    op.create_index("withdrawn_webp", "withdrawn", ["webp"])
    op.create_table(
        "blocklist",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("takedown", sa.String(40), sa.ForeignKey("takedowns.id"), nullable=False),
        sa.Column("content", sa.String(64)),
        sa.Column("pixels", sa.String(64)),
        sa.Column("pdq", sa.String(64)),
        sa.Column("quality", sa.Integer()),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("blocklist_content", "blocklist", ["content"])
    op.create_index("blocklist_of_takedown", "blocklist", ["takedown"])
    op.create_table(
        "picture_audits",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("phase", sa.String(12), nullable=False),
        sa.Column("criteria", sa.JSON(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in (*COUNTS, "num_unread")),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_findings",
        sa.Column("audit", sa.String(40), sa.ForeignKey("picture_audits.id"), nullable=False),
        sa.Column("picture", sa.BigInteger(), nullable=False),
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("png", sa.String(64), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.Column("found_in", sa.String(8), nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("score", sa.Float()),
        sa.PrimaryKeyConstraint("audit", "picture"),
    )
