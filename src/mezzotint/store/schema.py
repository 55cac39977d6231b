"""The tables. A change here needs a migration; a test compares the two."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
    true,
)
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """A UTC instant. SQLite keeps no time zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


Ordinal = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts up by itself only in a plain INTEGER."""
metadata = MetaData()


def _some(name: str, *columns: str, where: str) -> Index:
    """A partial index of the rows that have a value there: each change of a row writes all indexes in which it
    stands."""
    some = text(f"{where} IS NOT NULL")
    return Index(name, *columns, postgresql_where=some, sqlite_where=some)


jobs = Table(
    "jobs",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(80), nullable=False, server_default=""),  # empty: the whole tenant's
    Column("tier", String(8), nullable=False),
    Column("state", String(12), nullable=False),
    Column("raw_prompt", Text, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("model", String(200), nullable=False),
    Column("cost", Float, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("step", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("lease_worker", String(64)),
    Column("lease_token", Integer, nullable=False, default=0),
    Column("lease_expires_at", Instant),
    Column("error", JSON),
    Column("timings", JSON, nullable=False),
    Column("cut_texts", JSON),
    Column("batch", String(40)),
    Column("lane", String(8), nullable=False),
    Column("waits_in", String(8)),  # the lane while it may be claimed, else nothing
    Column("due_at", Instant),  # of the next try, while it waits for that
    Column("avoid_worker", String(64)),
    Column("avoid_until", Instant),
    Column("charge", JSON),
    Column("cost_s", Float, nullable=False, default=0.0),
    Column("num_losses", Integer, nullable=False, server_default="0"),
    Column("lost_step", Integer, nullable=False, server_default="0"),
    Column("reuse_scope", String(8)),
    Column("reuse_key", String(64)),  # of a job whose pictures may answer others
    Column("reused_from", String(40)),
    Column("num_passes", Integer, nullable=False, server_default="0"),
    Column("num_forecast", Integer, nullable=False, server_default="0"),
    Column("screening", JSON),
    Column("region", String(64)),  # of the gateway that took it; nothing where it has none
    _some("jobs_waiting", "waits_in", "seq", where="waits_in"),
    _some("jobs_waiting_of_tenant", "waits_in", "tenant", "seq", where="waits_in"),
    _some("jobs_due", "due_at", where="due_at"),
    _some("jobs_started", "started_at", where="started_at"),
    Index(
        "jobs_waiting_in_region",
        "waits_in",
        "region",
        "seq",
        postgresql_where=text("waits_in IS NOT NULL AND region IS NOT NULL"),
        sqlite_where=text("waits_in IS NOT NULL AND region IS NOT NULL"),
    ),
    Index("jobs_in_state", "state", "finished_at"),
    Index("jobs_of_tenant", "tenant", "seq"),
    Index("jobs_of_owner", "tenant", "owner", "seq"),
    Index("jobs_of_tenant_in_state", "tenant", "state", "seq"),
    _some("jobs_reusable", "tenant", "reuse_key", "seq", where="reuse_key"),
    _some("jobs_leases", "lease_expires_at", where="lease_expires_at"),
    Index("jobs_suspected", "waits_in", postgresql_where=text("num_losses > 0"), sqlite_where=text("num_losses > 0")),
    sqlite_autoincrement=True,
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("job", String(40), ForeignKey("jobs.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("key", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("cost_s", Float, nullable=False, default=0.0),
)

images = Table(
    "images",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("job", String(40), ForeignKey("jobs.id"), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(80), nullable=False, server_default=""),  # empty: the whole tenant's
    Column("position", Integer, nullable=False),
    Column("png", String(64), nullable=False),
    Column("webp", String(64), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("verdict", String(8), nullable=False, server_default="allow"),
    Column("scores", JSON),
    Column("filter_version", String(80)),
    Column("pdq", String(64)),
    Column("pdq_quality", Integer),
    Index("images_of_job", "job", "position", unique=True),
    Index("images_of_tenant", "tenant", "seq"),
    Index("images_of_owner", "tenant", "owner", "seq"),
    Index("images_png", "png"),
    Index("images_webp", "webp"),
    sqlite_autoincrement=True,
)

held_images = Table(
    "held_images",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("job", String(40), ForeignKey("jobs.id"), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(80), nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    Column("category", String(40), nullable=False),
    Column("scores", JSON, nullable=False),
    Column("filter_version", String(80), nullable=False),
    Column("key", String(200)),  # of the encrypted original, where it is kept
    Column("seed", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("decided_at", Instant),
    Column("decided_by", String(200)),
    Index("held_images_of_job", "job", "position", unique=True),
    Index("held_images_in_state", "state", "seq"),
    _some("held_images_kept", "created_at", where="key"),
    sqlite_autoincrement=True,
)

uploads = Table(
    "uploads",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(80), nullable=False, server_default=""),  # empty: the whole tenant's
    Column("content", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("num_bytes", BigInteger, nullable=False, server_default="0"),  # 0: kept before bytes were counted
    Column("used_at", Instant, nullable=False),
    Column("is_kept", Boolean, nullable=False),  # asked for by itself; else it came with a request
    Index("uploads_of_owner", "tenant", "content", "owner", unique=True),
    Index("uploads_by_use", "used_at"),
    sqlite_autoincrement=True,
)

shares = Table(
    "shares",
    metadata,
    Column("share", String(16), primary_key=True),
    Column("start_tag", Float, nullable=False),
    Column("virtual_time", Float, nullable=False),
    Column("is_idle", Boolean, nullable=False),
    Column("weight", Float),  # of a lane, once traffic has moved it
    Column("base", Float),  # of a lane, where an admin set it
    Column("pace_s", Float),  # of the root: GPU-seconds a step-megapixel
)

flows = Table(
    "flows",
    metadata,
    Column("lane", String(8), primary_key=True),
    Column("tenant", String(64), primary_key=True),
    Column("waits_in", String(8)),  # the lane while jobs wait, else nothing
    Column("is_at_burst", Boolean, nullable=False),
    Column("start_tag", Float, nullable=False),
    Column("backlogged_at", Instant, nullable=False),
    Column("usage_at", Instant, nullable=False),
    Column("usage_s", Float, nullable=False),
    Column("num_queued", Integer, nullable=False),
    Column("num_running", Integer, nullable=False),
    Index("flows_next", "waits_in", "is_at_burst", "start_tag", "backlogged_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("seen_at", Instant),
    Column("is_drained", Boolean, nullable=False),
    Column("pool", String(64), nullable=False, server_default=""),
    Column("region", String(64), nullable=False, server_default=""),
    Column("version", String(40), nullable=False, server_default=""),
    Column("limits", JSON),
    Column("drain_wanted_at", Instant),  # since when it is to end
    Column("drain_reason", String(200), nullable=False, server_default=""),
    Column("drained_at", Instant),
    Column("device", String(120), nullable=False, server_default=""),  # its identity; empty: it is not judged
    Column("report", JSON),
)

worker_losses = Table(
    "worker_losses",
    metadata,
    Column("worker", String(64), primary_key=True),
    Column("job", String(40), primary_key=True),
    Column("at", Instant, nullable=False),
    Index("worker_losses_at", "at"),
)

previews = Table(
    "previews",
    metadata,
    Column("job", String(40), primary_key=True),
    Column("data", Text, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("job", String(40), ForeignKey("jobs.id"), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("month", String(7), nullable=False),
    Column("lane", String(8), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("gpu_s", Float, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("num_passes", Integer, nullable=False, server_default="0"),
    Column("num_forecast", Integer, nullable=False, server_default="0"),
    Column("worker", String(64)),
    Column("at", Instant, nullable=False),
    Index("ledger_of_tenant", "tenant", "month"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("code", String(40), nullable=False),
    Column("message", Text, nullable=False),
    Column("raw_prompt", Text, nullable=False),  # empty: only its hash is kept
    Column("created_at", Instant, nullable=False),
    Column("id", String(40)),
    Column("owner", String(80), nullable=False, server_default=""),  # empty: the whole tenant's
    Column("category", String(40), nullable=False, server_default=""),
    Column("text_hash", String(64), nullable=False, server_default=""),
    Column("evidence", JSON),
    Index("refusals_of_tenant", "tenant", "seq"),
    Index("refusals_by_id", "id", unique=True),
    sqlite_autoincrement=True,
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tier", String(8), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    Column("visibility", String(8), nullable=False, server_default="private"),
    Column("recipe_audience", String(9), nullable=False, server_default="owner"),
    Column("reuses_pictures", Boolean, nullable=False, server_default=true()),
)

users = Table(
    "users",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(254), nullable=False, unique=True),
    Column("role", String(8), nullable=False),
    Column("password", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    Index("users_of_tenant", "tenant"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("user", String(40), ForeignKey("users.id"), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index("sessions_of_user", "user"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.id"), nullable=False),
    Column("user", String(40), ForeignKey("users.id", name="keys_of_users")),  # nothing: the tenant's
    Column("name", String(80), nullable=False),
    Column("prefix", String(20), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("scopes", String(40), nullable=False),
    Column("old_prefix", String(20), unique=True),
    Column("old_digest", String(64)),
    Column("old_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Index("keys_of_tenant", "tenant"),
    _some("keys_of_user", "user", where='"user"'),
)

submissions = Table(
    "submissions",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("name", String(80), primary_key=True),
    Column("body", String(64), nullable=False),
    Column("jobs", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("num_retries", Integer, nullable=False, server_default="0"),
    Index("submissions_over", "expires_at"),
)

changes = Table(
    "changes",
    metadata,
    Column("job", String(40), ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(12), nullable=False),
    Column("step", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Index("changes_at", "at"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("owner", String(80), nullable=False, server_default=""),  # empty: the whole tenant's
    Column("url", String(2000), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    Index("webhooks_of_tenant", "tenant"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Ordinal, primary_key=True),
    Column("webhook", String(40), ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("job", String(40), nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant),
    Column("delivered_at", Instant),
    Column("status", Integer),
    Column("failure", String(200)),
    Index("deliveries_due", "next_at"),
    Index("deliveries_of_webhook", "webhook", "seq"),
    _some("deliveries_pending", "webhook", "next_at", where="next_at"),
    sqlite_autoincrement=True,
)
