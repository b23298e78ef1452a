"""Run by alembic: applies the steps on the connection that `tasks.store` gives."""

from alembic import context

from tasks.tables import TABLES, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    version_table=VERSION_TABLE,
    # the caller holds the transaction and the lock
    transactional_ddl=False,
)
context.run_migrations()
