"""Any database that SQLAlchemy speaks to, by the same named statements."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, Executable, Insert
from sqlalchemy.exc import SQLAlchemyError

from layerproof.errors import IndexUnavailableError
from layerproof.model.digest import DiffId
from layerproof.store.claims import claim
from layerproof.store.codec import DamagedRowError
from layerproof.store.executor import Row, Session
from layerproof.store.statements import inserted, statements


class SqlAlchemyExecutor:
    """Transactions on an engine, which decides about pooling, isolation and time limits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._statements = statements(engine.dialect.name)

    def read(self) -> AbstractContextManager[Session]:
        """A transaction. Raises IndexUnavailableError."""
        return self._transaction()

    def write(self) -> AbstractContextManager[Session]:
        """A transaction. Raises IndexUnavailableError."""
        return self._transaction()

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """The right to read a layer; so far among the processes of one machine, on SQLite."""
        database = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or not database:
            raise IndexUnavailableError(
                f"layers cannot be claimed on {self._engine.dialect.name}",
                where=self._engine.url.render_as_string(hide_password=True),
                remedy="index into an SQLite file",
            )
        return claim(Path(database), diff_id)

    def close(self) -> None:
        """Close the engine's connections; it opens new ones when asked."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        try:
            with self._engine.begin() as connection:
                yield _AlchemySession(connection, self._statements)
        except (SQLAlchemyError, DamagedRowError) as error:
            raise IndexUnavailableError(
                f"the index failed: {getattr(error, 'orig', None) or error}",
                where=self._engine.url.render_as_string(hide_password=True),
                remedy="check that its database is there, reachable and has room",
            ) from error


class _AlchemySession:
    """Runs statements by name on a connection that is in a transaction."""

    __slots__ = ("_connection", "_statements")

    def __init__(self, connection: Connection, known: Mapping[str, Executable]) -> None:
        self._connection = connection
        self._statements = known

    def rows(self, statement: str, /, **parameters: object) -> list[Row]:
        result = self._connection.execute(self._statements[statement], parameters)
        return [tuple(row) for row in result]

    def stream(self, statement: str, /, **parameters: object) -> Iterator[Row]:
        result = self._connection.execute(
            self._statements[statement], parameters, execution_options={"yield_per": 64}
        )
        return (tuple(row) for row in result)

    def run(self, statement: str, /, **parameters: object) -> None:
        self._connection.execute(self._statements[statement], parameters)

    def run_many(self, statement: str, rows: Iterable[Sequence[object]], /) -> None:
        insert = self._statements[statement]
        assert isinstance(insert, Insert)
        names = inserted(insert.table)
        batch = [dict(zip(names, row, strict=True)) for row in rows]
        if batch:  # because SQLAlchemy takes an empty list for one row without values
            self._connection.execute(insert, batch)
