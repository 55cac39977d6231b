"""The index by which a tenant's jobs in one state are listed in their order."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_index("jobs_of_tenant_in_state", "jobs", ["tenant", "state", "seq"])
    op.drop_index("jobs_open_of_tenant", "jobs")
