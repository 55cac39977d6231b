"""The tables of takedowns and audits.

A picture that was taken down has no row in `images` or `uploads`: its row lies in `withdrawn`.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from mezzotint.store.schema import Instant, Ordinal, metadata

takedowns = Table(
    "takedowns",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("phase", String(12), nullable=False),
    Column("selection", JSON, nullable=False),
    Column("digest", String(64), nullable=False),  # of the selection, by which a repeated request is recognised
    Column("reason", Text, nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("num_seen", BigInteger, nullable=False),
    Column("num_pictures", BigInteger, nullable=False),
    Column("num_uploads", BigInteger, nullable=False),
    Column("num_moved", BigInteger, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant),
    Column("failure", String(200)),
    Column("undone_at", Instant),
    Column("undone_by", String(200)),
    Index("takedowns_in_phase", "phase", "ends_at"),
    Index("takedowns_of_selection", "digest"),
    sqlite_autoincrement=True,
)

withdrawn = Table(
    "withdrawn",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("takedown", String(40), ForeignKey("takedowns.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(80), nullable=False),
    Column("job", String(40)),
    Column("png", String(64), nullable=False),
    Column("webp", String(64)),
    Column("row", JSON),  # as it stood in `images` or `uploads`; nothing once it cannot come back
    Column("is_moved", Boolean, nullable=False),  # its bytes are in quarantine
    Index("withdrawn_of_takedown", "takedown", "seq"),
    Index("withdrawn_png", "png"),
    Index("withdrawn_webp", "webp"),
    sqlite_autoincrement=True,
)

blocklist = Table(
    "blocklist",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("takedown", String(40), ForeignKey("takedowns.id"), nullable=False),
    Column("content", String(64)),  # SHA-256 of a file; else the row is of a picture, whatever its file:
    Column("pixels", String(64)),
    Column("pdq", String(64)),
    Column("quality", Integer),
    Index("blocklist_content", "content"),
    Index("blocklist_of_takedown", "takedown"),
    sqlite_autoincrement=True,
)

audits = Table(
    "picture_audits",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("phase", String(12), nullable=False),
    Column("criteria", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("num_seen", BigInteger, nullable=False),
    Column("num_unread", BigInteger, nullable=False),  # pictures whose file is missing or damaged
    sqlite_autoincrement=True,
)

findings = Table(
    "audit_findings",
    metadata,
    Column("audit", String(40), ForeignKey("picture_audits.id"), primary_key=True),
    Column("picture", BigInteger, primary_key=True),  # its `seq` in `images`
    Column("job", String(40), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("png", String(64), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("found_in", String(8), nullable=False),
    Column("category", String(40), nullable=False),
    Column("score", Float),
    Column("verdict_before", String(8), nullable=False, server_default=""),  # empty: an audit from before it was kept
    Column("verdict_now", String(8), nullable=False, server_default=""),
    Column("score_before", Float),
)
