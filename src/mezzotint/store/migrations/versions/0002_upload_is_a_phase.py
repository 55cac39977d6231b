"""The phase `store_s` of a job's timings is called `upload_s`"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _rename("store_s", "upload_s")


def downgrade() -> None:
    _rename("upload_s", "store_s")


def _rename(old: str, new: str) -> None:
    as_text = f"""replace(CAST(timings AS TEXT), '"{old}":', '"{new}":')"""
    value = f"CAST({as_text} AS JSON)" if op.get_bind().dialect.name == "postgresql" else as_text
    op.execute(f"UPDATE jobs SET timings = {value}")
