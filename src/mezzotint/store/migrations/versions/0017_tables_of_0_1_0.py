"""The tables of 0.1.0, and the accounts of the shares. `baseline.py` says which databases begin after it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = None
AT = sa.DateTime(timezone=True)
ORDINAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SHARES = ("free", "paid", "pro", "promoted", "overdue_paid", "overdue_pro", "root")


def _some(which: str) -> dict[str, sa.TextClause]:
    return {"postgresql_where": sa.text(which), "sqlite_where": sa.text(which)}


def upgrade() -> None:
    op.create_table(
        "flows",
        sa.Column("lane", sa.String(8), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("waits_in", sa.String(8)),
        sa.Column("is_at_burst", sa.Boolean(), nullable=False),
        sa.Column("start_tag", sa.Float(), nullable=False),
        sa.Column("backlogged_at", AT, nullable=False),
        sa.Column("usage_at", AT, nullable=False),
        sa.Column("usage_s", sa.Float(), nullable=False),
        sa.Column("num_queued", sa.Integer(), nullable=False),
        sa.Column("num_running", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "tenant"),
    )
    op.create_index("flows_next", "flows", ["waits_in", "is_at_burst", "start_tag", "backlogged_at"])
    op.create_table(
        "jobs",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("tier", sa.String(8), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("raw_prompt", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("started_at", AT),
        sa.Column("finished_at", AT),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_worker", sa.String(64)),
        sa.Column("lease_token", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", AT),
        sa.Column("error", sa.JSON()),
        sa.Column("timings", sa.JSON(), nullable=False),
        sa.Column("batch", sa.String(40)),
        sa.Column("lane", sa.String(8), nullable=False),
        sa.Column("waits_in", sa.String(8)),
        sa.Column("due_at", AT),
        sa.Column("avoid_worker", sa.String(64)),
        sa.Column("avoid_until", AT),
        sa.Column("charge", sa.JSON()),
        sa.Column("cost_s", sa.Float(), nullable=False),
        sa.Column("num_losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lost_step", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "jobs_due",
        "jobs",
        ["due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("jobs_in_state", "jobs", ["state", "finished_at"])
    op.create_index(
        "jobs_leases",
        "jobs",
        ["lease_expires_at"],
        postgresql_where=sa.text("lease_expires_at IS NOT NULL"),
        sqlite_where=sa.text("lease_expires_at IS NOT NULL"),
    )
    op.create_index("jobs_of_tenant", "jobs", ["tenant", "seq"])
    op.create_index("jobs_open_of_tenant", "jobs", ["tenant", "state"])
    op.create_index(
        "jobs_started",
        "jobs",
        ["started_at"],
        postgresql_where=sa.text("started_at IS NOT NULL"),
        sqlite_where=sa.text("started_at IS NOT NULL"),
    )
    op.create_index(
        "jobs_suspected",
        "jobs",
        ["waits_in"],
        postgresql_where=sa.text("num_losses > 0"),
        sqlite_where=sa.text("num_losses > 0"),
    )
    op.create_index(
        "jobs_waiting",
        "jobs",
        ["waits_in", "seq"],
        postgresql_where=sa.text("waits_in IS NOT NULL"),
        sqlite_where=sa.text("waits_in IS NOT NULL"),
    )
    op.create_index(
        "jobs_waiting_of_tenant",
        "jobs",
        ["waits_in", "tenant", "seq"],
        postgresql_where=sa.text("waits_in IS NOT NULL"),
        sqlite_where=sa.text("waits_in IS NOT NULL"),
    )
    op.create_table(
        "previews",
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_table(
        "refusals",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("raw_prompt", sa.Text(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("refusals_of_tenant", "refusals", ["tenant", "seq"])
    shares = op.create_table(
        "shares",
        sa.Column("share", sa.String(16), nullable=False),
        sa.Column("start_tag", sa.Float(), nullable=False),
        sa.Column("virtual_time", sa.Float(), nullable=False),
        sa.Column("is_idle", sa.Boolean(), nullable=False),
        sa.Column("weight", sa.Float()),
        sa.Column("base", sa.Float()),
        sa.Column("pace_s", sa.Float()),
        sa.PrimaryKeyConstraint("share"),
    )
    op.create_table(
        "submissions",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("body", sa.String(64), nullable=False),
        sa.Column("jobs", sa.JSON(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_index("submissions_over", "submissions", ["expires_at"])
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tier", sa.String(8), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("disabled_at", AT),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "uploads",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("used_at", AT, nullable=False),
        sa.Column("is_kept", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("uploads_by_use", "uploads", ["used_at"])
    op.create_index("uploads_of_tenant", "uploads", ["tenant", "content"], unique=True)
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("disabled_at", AT),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("webhooks_of_tenant", "webhooks", ["tenant"])
    op.create_table(
        "workers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("seen_at", AT),
        sa.Column("is_drained", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "changes",
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.ForeignKeyConstraint(
            ["job"],
            ["jobs.id"],
        ),
        sa.PrimaryKeyConstraint("job", "number"),
    )
    op.create_index("changes_at", "changes", ["at"])
    op.create_table(
        "checkpoints",
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("cost_s", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"],
            ["jobs.id"],
        ),
        sa.PrimaryKeyConstraint("job", "step"),
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("webhook", sa.String(40), nullable=False),
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", AT),
        sa.Column("delivered_at", AT),
        sa.Column("status", sa.Integer()),
        sa.Column("failure", sa.String(200)),
        sa.ForeignKeyConstraint(["webhook"], ["webhooks.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("deliveries_due", "deliveries", ["next_at"])
    op.create_index("deliveries_of_webhook", "deliveries", ["webhook", "seq"])
    op.create_index(
        "deliveries_pending",
        "deliveries",
        ["webhook", "next_at"],
        postgresql_where=sa.text("next_at IS NOT NULL"),
        sqlite_where=sa.text("next_at IS NOT NULL"),
    )
    op.create_table(
        "images",
        sa.Column("seq", ORDINAL, nullable=False),
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("png", sa.String(64), nullable=False),
        sa.Column("webp", sa.String(64), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.ForeignKeyConstraint(
            ["job"],
            ["jobs.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("images_of_job", "images", ["job", "position"], unique=True)
    op.create_index("images_of_tenant", "images", ["tenant", "seq"])
    op.create_index("images_png", "images", ["png"])
    op.create_index("images_webp", "images", ["webp"])
    op.create_table(
        "ledger",
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("lane", sa.String(8), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("gpu_s", sa.Float(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("at", AT, nullable=False),
        sa.ForeignKeyConstraint(
            ["job"],
            ["jobs.id"],
        ),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_index("ledger_of_tenant", "ledger", ["tenant", "month"])
    op.create_table(
        "users",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("name", sa.String(254), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("disabled_at", AT),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenants.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("users_of_tenant", "users", ["tenant"])
    op.create_table(
        "keys",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("user", sa.String(40)),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("prefix", sa.String(20), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(40), nullable=False),
        sa.Column("old_prefix", sa.String(20)),
        sa.Column("old_digest", sa.String(64)),
        sa.Column("old_until", AT),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT),
        sa.Column("revoked_at", AT),
        sa.Column("last_used_at", AT),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenants.id"],
        ),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name="keys_of_users"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("old_prefix"),
        sa.UniqueConstraint("prefix"),
    )
    op.create_index("keys_of_tenant", "keys", ["tenant"])
    op.create_index(
        "keys_of_user",
        "keys",
        ["user"],
        postgresql_where=sa.text('"user" IS NOT NULL'),
        sqlite_where=sa.text('"user" IS NOT NULL'),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("user", sa.String(40), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.ForeignKeyConstraint(
            ["user"],
            ["users.id"],
        ),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("sessions_of_user", "sessions", ["user"])
    fresh = {"start_tag": 0.0, "virtual_time": 0.0, "is_idle": True}
    op.bulk_insert(shares, [{"share": share, **fresh} for share in SHARES])
