"""Alembic's entry: runs the migrations on the database that `Database.migrate` names."""

from alembic import context
from sqlalchemy import create_engine, pool

from mezzotint.store.schema import metadata

url = context.config.get_main_option("sqlalchemy.url")
assert url is not None, "Database.migrate sets the address"
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
