"""Any database that SQLAlchemy speaks to, by the same named statements.

1. One writer at a time, as the contract of `Executor.write` says: on SQLite by its lock, on
   PostgreSQL by an advisory lock of the transaction (PostgreSQL documentation, section 13.3.5). So
   keys grow in the order in which transactions become visible, and nobody reads between two rows.
2. A reading transaction on PostgreSQL sees one state: REPEATABLE READ (section 13.2.2). What
   begins a transaction also tells whether the connection still stands: a question before each
   (SQLAlchemy's `pool_pre_ping`) would cost another round trip.
3. The right to read a layer is an advisory lock of a connection of its own: it ends with the
   connection, however its holder ends.
4. Connections must not be carried across a fork: a child forgets them without closing them.
"""

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, Executable, Insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from layerproof.errors import IndexUnavailableError
from layerproof.model.digest import DiffId
from layerproof.store.claims import claim
from layerproof.store.codec import DamagedRowError
from layerproof.store.executor import Row, Session
from layerproof.store.sql_parts import inserted
from layerproof.store.statements import statements

WRITING = 0x4C507266  # advisory lock of whoever writes
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = f"BEGIN; SELECT pg_advisory_xact_lock({WRITING})"
_DIGITS = 15  # hex digits of a digest that make a lock's number: below 2**60


class SqlAlchemyExecutor:
    """Transactions on an engine, which decides about pooling, isolation and time limits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = statements(engine.dialect.name)
        self._postgresql = engine.dialect.name == "postgresql"
        _EXECUTORS.add(self)

    def read(self) -> AbstractContextManager[Session]:
        """A transaction that sees one state. Raises IndexUnavailableError."""
        return self._transaction(writing=False)

    def write(self) -> AbstractContextManager[Session]:
        """A transaction that no other writer runs beside. Raises IndexUnavailableError."""
        return self._transaction(writing=True)

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """The right to read a layer, on every machine that uses the database."""
        if self._postgresql:
            return self._claimed(int(diff_id.hex[:_DIGITS], 16))
        return claim(Path(str(self._engine.url.database)), diff_id)

    def close(self) -> None:
        """Close the engine's connections; it opens new ones when asked."""
        self._engine.dispose()

    def forget(self) -> None:
        """In a forked child: the connections are the parent's."""
        self._engine.dispose(close=False)

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[Session]:
        with self._translated():
            if not self._postgresql:
                with self._engine.begin() as connection:
                    yield _AlchemySession(connection, self._statements)
                return
            first = _WRITE if writing else _READ
            with opened(self._engine, first, isolation_level="AUTOCOMMIT") as connection:
                try:
                    yield _AlchemySession(connection, self._statements)
                except BaseException:
                    with suppress(SQLAlchemyError):  # because what went wrong before is told
                        connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")

    @contextmanager
    def _claimed(self, key: int) -> Iterator[None]:
        with self._translated():
            first = f"SELECT pg_advisory_lock({key})"
            connection = opened(self._engine, first, isolation_level="AUTOCOMMIT")
        try:
            yield
        finally:
            with self._translated():
                connection.invalidate()  # not back into the pool: the lock goes with it
                connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, DamagedRowError, UnicodeDecodeError) as error:
            raise IndexUnavailableError(
                f"the index failed: {_first_line(getattr(error, 'orig', None) or error)}",
                where=self._engine.url.render_as_string(hide_password=True),
                remedy="check that its database is there, reachable and has room",
            ) from error


def opened(engine: Engine, first: str = "SELECT 1", **options: Any) -> Connection:
    """A connection on which this statement was run. One that the server ended meanwhile is no
    error: the pool then drops all of its age, and the next one is new. Raises SQLAlchemyError."""
    connection = engine.connect()
    try:
        return _begun(connection, first, options)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    return _begun(engine.connect(), first, options)


def _begun(connection: Connection, first: str, options: Mapping[str, Any]) -> Connection:
    try:
        connection = connection.execution_options(**options)
        connection.exec_driver_sql(first).close()
        if not options:
            connection.rollback()  # SQLAlchemy began a transaction for it
    except BaseException:
        connection.close()
        raise
    return connection


class _AlchemySession:
    """Runs statements by name on a connection that is in a transaction."""

    __slots__ = ("_connection", "_statements")

    def __init__(self, connection: Connection, known: Mapping[str, Executable]) -> None:
        self._connection = connection
        self._statements = known

    def rows(self, statement: str, /, **parameters: object) -> list[Row]:
        result = self._connection.execute(self._statements[statement], parameters)
        return [tuple(row) for row in result.all()]

    def stream(self, statement: str, /, **parameters: object) -> Iterator[Row]:
        result = self._connection.execute(
            self._statements[statement], parameters, execution_options={"yield_per": 64}
        )
        return (tuple(row) for row in result)

    def run(self, statement: str, /, **parameters: object) -> int:
        result = self._connection.execute(self._statements[statement], parameters)
        return result.rowcount if isinstance(result, CursorResult) else 0

    def run_many(self, statement: str, rows: Iterable[Sequence[object]], /) -> None:
        insert = self._statements[statement]
        assert isinstance(insert, Insert)
        names = inserted(insert.table)
        batch = [dict(zip(names, row, strict=True)) for row in rows]
        if batch:  # because SQLAlchemy takes an empty list for one row without values
            self._connection.execute(insert, batch)


def _first_line(error: object) -> str:
    """Drivers add hints and the statement on further lines."""
    return str(error).partition("\n")[0]


_EXECUTORS: "weakref.WeakSet[SqlAlchemyExecutor]" = weakref.WeakSet()


def _after_fork() -> None:
    for executor in _EXECUTORS:
        executor.forget()


os.register_at_fork(after_in_child=_after_fork)
