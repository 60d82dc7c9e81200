"""alembic runs this; `layerproof.store.migrate` gives it the connection and its transaction."""

from alembic import context

from layerproof.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
