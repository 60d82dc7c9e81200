"""The layer index: one schema, one set of statements, SQLite and whatever SQLAlchemy speaks to."""
