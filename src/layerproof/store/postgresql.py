"""The index that many machines share: a PostgreSQL database, by psycopg 3.

The schema is made, and brought to the newest revision, at the first use: all steps in one
transaction under an advisory lock, so that machines that start at once do it once. An index that a
newer Layerproof wrote is refused.

Writers wait for each other. So none may keep the others waiting for as long as TCP believes in a
machine that is gone: both sides notice within a minute, and a transaction in which nothing happens
for five is ended by the server (PostgreSQL documentation, 20.3.2 and 20.11.1; libpq, 34.1.2).
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from layerproof.errors import IndexUnavailableError, IndexVersionError, UsageError
from layerproof.model.digest import DiffId
from layerproof.store.alchemy import SqlAlchemyExecutor, opened
from layerproof.store.executor import Session
from layerproof.store.index import SqlIndex
from layerproof.store.sqlite_sql import HEAD, REVISIONS

_MIGRATING = 0x4C507267  # advisory lock of whoever migrates
_CONNECT_SECONDS = 10
_LIMITS: Mapping[str, str | int] = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "options": "-c idle_in_transaction_session_timeout=300000 -c tcp_keepalives_idle=30"
    " -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3",
}


def engine_of(url: str, *, pool_size: int = 5) -> Engine:
    """An engine on `postgresql://user@host/database`. Raises UsageError."""
    try:
        found = make_url(url)
    except ArgumentError as error:
        raise UsageError(
            "this is not a PostgreSQL URL",
            where="LAYERPROOF_INDEX",
            remedy="for example: postgresql://layerproof@db.example/layerproof",
        ) from error
    return create_engine(
        found.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=20,
        connect_args={**limits(found), "application_name": "layerproof"},
    )


def limits(url: URL) -> dict[str, str | int]:
    """How long a connection waits for what, by libpq's names; what the URL says itself stays."""
    return {name: value for name, value in _LIMITS.items() if name not in url.query}


def safe_url(url: str) -> str:
    """The URL without its password, for messages."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "postgresql://…"


class PostgresExecutor:
    """Transactions on a PostgreSQL database whose schema is seen to first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inner = SqlAlchemyExecutor(engine)
        self._ready = False
        self._lock = threading.Lock()

    @property
    def url(self) -> URL:
        """Where the database is."""
        return self._engine.url

    def read(self) -> AbstractContextManager[Session]:
        """A transaction that sees one state. Raises IndexUnavailableError."""
        return self._when_ready(writing=False)

    def write(self) -> AbstractContextManager[Session]:
        """A transaction that no other writer runs beside. Raises IndexUnavailableError."""
        return self._when_ready(writing=True)

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """The right to read a layer."""
        return self._inner.claim(diff_id)

    def close(self) -> None:
        """Close connections; they open again when needed."""
        self._inner.close()

    @contextmanager
    def _when_ready(self, *, writing: bool) -> Iterator[Session]:
        if not self._ready:
            with self._lock:
                if not self._ready:
                    prepare(self._engine)
                    self._ready = True
        with self._inner.write() if writing else self._inner.read() as session:
            yield session


def prepare(engine: Engine) -> None:
    """Make the schema, or bring it to the newest revision. Raises IndexUnavailableError,
    IndexVersionError."""
    try:
        with opened(engine) as connection:
            revision = _revision(connection)
        if revision == HEAD:
            return
        _check_known(engine, revision)
        with engine.begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
            revision = _revision(connection)  # again: another machine may have been faster
            _check_known(engine, revision)
            if revision != HEAD:
                _upgrade(connection)
    except SQLAlchemyError as error:
        message = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise IndexUnavailableError(
            f"the database cannot be used: {message}",
            where=engine.url.render_as_string(hide_password=True),
            remedy="check that PostgreSQL runs, and that the user may create tables there",
        ) from error


def _upgrade(connection: Connection) -> None:
    # Here, because a schema that is new needs no alembic.
    from alembic import command

    from layerproof.store.migrate import configuration

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    row = connection.execute(text("SELECT version_num FROM alembic_version")).fetchone()
    return "" if row is None else str(row[0])


def _check_known(engine: Engine, revision: str) -> None:
    if revision and revision not in REVISIONS:
        raise IndexVersionError(
            f"the index was written by a newer Layerproof (schema {revision})",
            where=engine.url.render_as_string(hide_password=True),
            remedy="upgrade Layerproof, or name another database",
        )


def open_postgresql(url: str, *, pool_size: int = 5) -> SqlIndex:
    """The index in this database. Nothing is opened before the first use. Raises UsageError."""
    return SqlIndex(PostgresExecutor(engine_of(url, pool_size=pool_size)))
