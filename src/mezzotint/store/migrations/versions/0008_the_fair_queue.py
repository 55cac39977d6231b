"""The fair queue's rows, retries, what was measured and who is charged for it"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as jobs:
        jobs.add_column(sa.Column("lane", sa.String(8), nullable=True))
        jobs.add_column(sa.Column("waits_in", sa.String(8), nullable=True))
        jobs.add_column(sa.Column("due_at", AT, nullable=True))
        jobs.add_column(sa.Column("avoid_worker", sa.String(64), nullable=True))
        jobs.add_column(sa.Column("avoid_until", AT, nullable=True))
        jobs.add_column(sa.Column("charge", sa.JSON(), nullable=True))
        jobs.add_column(sa.Column("cost_s", sa.Float(), nullable=False, server_default="0"))
    op.execute("UPDATE jobs SET lane = tier")
    op.execute("UPDATE jobs SET waits_in = tier WHERE state = 'queued'")
    with op.batch_alter_table("jobs", schema=None) as jobs:
        jobs.alter_column("lane", existing_type=sa.String(8), nullable=False)
        jobs.drop_index("jobs_line")
        jobs.create_index("jobs_waiting", ["waits_in", "seq"])
        jobs.create_index("jobs_waiting_of_tenant", ["waits_in", "tenant", "seq"])
        jobs.create_index("jobs_due", ["due_at"])
        jobs.create_index("jobs_started", ["started_at"])
        jobs.create_index("jobs_in_state", ["state", "finished_at"])
    with op.batch_alter_table("checkpoints", schema=None) as checkpoints:
        checkpoints.add_column(sa.Column("cost_s", sa.Float(), nullable=False, server_default="0"))
    shares = op.create_table(
        "shares",
        sa.Column("share", sa.String(16), nullable=False),
        sa.Column("start_tag", sa.Float(), nullable=False),
        sa.Column("virtual_time", sa.Float(), nullable=False),
        sa.Column("is_idle", sa.Boolean(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=True),
        sa.Column("pace_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("share"),
    )
    fresh = {"start_tag": 0.0, "virtual_time": 0.0, "is_idle": True, "weight": None, "pace_s": None}
    names = ("free", "paid", "pro", "promoted", "overdue_paid", "overdue_pro", "root")
    op.bulk_insert(shares, [{"share": name, **fresh} for name in names])
    op.create_table(
        "flows",
        sa.Column("lane", sa.String(8), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("waits_in", sa.String(8), nullable=True),
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
    _count_open_jobs()
    op.create_table(
        "ledger",
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("lane", sa.String(8), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("gpu_s", sa.Float(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(64), nullable=True),
        sa.Column("at", AT, nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_index("ledger_of_tenant", "ledger", ["tenant", "month"])
    op.create_table(
        "previews",
        sa.Column("job", sa.String(40), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
    )
    op.drop_table("lanes")


def _count_open_jobs() -> None:
    """Flows of the jobs that are open already; running ones are charged nothing."""
    columns = "lane, tenant, waits_in, is_at_burst, start_tag, backlogged_at, usage_at, usage_s"
    queued = "SUM(CASE WHEN state = 'queued' THEN 1 ELSE 0 END)"
    running = "SUM(CASE WHEN state = 'running' THEN 1 ELSE 0 END)"
    false = "false" if op.get_bind().dialect.name == "postgresql" else "0"
    op.execute(
        f"INSERT INTO flows ({columns}, num_queued, num_running) "
        f"SELECT lane, tenant, CASE WHEN {queued} > 0 THEN lane END, {false}, 0, MIN(created_at), MIN(created_at), 0, "
        f"{queued}, {running} FROM jobs WHERE state IN ('queued', 'running') GROUP BY lane, tenant"
    )


def downgrade() -> None:
    op.drop_table("previews")
    op.drop_table("ledger")
    op.drop_table("flows")
    op.drop_table("shares")
    op.create_table(
        "lanes",
        sa.Column("lane", sa.String(8), nullable=False),
        sa.Column("finish_tag", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("lane"),
    )
    with op.batch_alter_table("checkpoints", schema=None) as checkpoints:
        checkpoints.drop_column("cost_s")
    with op.batch_alter_table("jobs", schema=None) as jobs:
        for index in ("jobs_in_state", "jobs_started", "jobs_due", "jobs_waiting_of_tenant", "jobs_waiting"):
            jobs.drop_index(index)
        for column in ("cost_s", "charge", "avoid_until", "avoid_worker", "due_at", "waits_in", "lane"):
            jobs.drop_column(column)
        jobs.create_index("jobs_line", ["state", "tier", "seq"])
