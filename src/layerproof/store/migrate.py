"""Brings an index file to the newest schema, by alembic.

Imported only when there is something to migrate (alembic and SQLAlchemy are slow to import). All
steps run in one transaction that was begun with the write lock held: two processes that start at
once migrate once, and a process that is killed in the middle leaves the old schema.
"""

from pathlib import Path
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from layerproof.errors import IndexUnavailableError

MIGRATIONS = Path(__file__).with_name("migrations")


def configuration(migrations: Path = MIGRATIONS) -> Config:
    """alembic's configuration: the migrations of this package, no ini file."""
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(path: Path, *, migrations: Path = MIGRATIONS, busy_seconds: float = 30.0) -> None:
    """Upgrade the SQLite index at `path`; does nothing when it is up to date.

    Raises IndexUnavailableError; the index is then as it was.
    """
    # With references enforced, rebuilding a table would delete the rows that refer to it.
    engine = sqlite_engine(path, busy_seconds=busy_seconds, foreign_keys=False)
    config = configuration(migrations)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except (SQLAlchemyError, CommandError) as error:
        raise IndexUnavailableError(
            f"the index cannot be upgraded to this version's schema: {error}",
            where=str(path),
            remedy="it is unchanged; see that no other process holds it and the disk has room",
        ) from error


def sqlite_engine(path: Path, *, busy_seconds: float = 30.0, foreign_keys: bool = True) -> Engine:
    """An engine on an SQLite file whose transactions, DDL included, hold the write lock.

    Every transaction gets a connection of its own, so nothing is carried across a fork.
    """
    pragmas = (f"foreign_keys={'ON' if foreign_keys else 'OFF'}", "synchronous=NORMAL")
    engine = create_engine(
        f"sqlite:///file:{quote(str(path))}?uri=true",
        poolclass=NullPool,
        connect_args={"timeout": busy_seconds},
    )

    def connected(dbapi: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        dbapi.isolation_level = None  # transactions are begun below, never by the driver
        cursor = dbapi.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine
