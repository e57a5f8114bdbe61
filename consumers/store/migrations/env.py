"""Run by Alembic: brings the connection that ``consumers.store.migrate`` holds to the asked revision."""

from alembic import context

from consumers.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=context.config.attributes["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
