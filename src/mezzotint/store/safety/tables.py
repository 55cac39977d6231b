"""The tables of the safety policy in use."""

from sqlalchemy import JSON, Column, Float, Index, Integer, String, Table, Text

from mezzotint.store.schema import Instant, Ordinal, metadata

safety_audit = Table(
    "safety_audit",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("author", String(200), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("before", JSON),
    Column("after", JSON),
    Column("reason", Text, nullable=False),
    Index("safety_audit_of_action", "action", "seq"),
    sqlite_autoincrement=True,
)

hard_rules = Table(
    "hard_rules",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("category", String(40), nullable=False),
    Column("all_of", JSON, nullable=False),
    Column("none_of", JSON, nullable=False),
    Column("author", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("removed_at", Instant),
    Index("hard_rules_by_time", "created_at", "id"),
)

tightenings = Table(
    "tightenings",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("category", String(40)),  # nothing: all
    Column("by", Float, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("author", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Index("tightenings_by_end", "ends_at"),
)

appeals = Table(
    "appeals",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("refusal", String(40), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(80), nullable=False),
    Column("category", String(40), nullable=False),
    Column("text_hash", String(64), nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("explanation", Text, nullable=False),
    Column("prompt", Text),
    Column("state", String(12), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("decided_at", Instant),
    Column("decided_by", String(200)),
    Column("note", Text),
    Index("appeals_in_state", "state", "seq"),
    Index("appeals_of_owner", "tenant", "owner", "seq"),
    sqlite_autoincrement=True,
)
