"""The seam between the index and a database driver: named statements in transactions.

`SqliteExecutor` runs generated SQL on the standard library's driver and imports no framework;
`SqlAlchemyExecutor` runs the same statements, as SQLAlchemy's constructs, on any engine.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Protocol, TypeVar

from layerproof.model.digest import DiffId

KEYS_AT_ONCE = 512  # SQLite before 3.32 allows 999 parameters in a statement

Row = tuple[Any, ...]
K = TypeVar("K")


class Session(Protocol):
    """One transaction. Statements are those of `layerproof.store.statements`, by name."""

    def rows(self, statement: str, /, **parameters: object) -> list[Row]:
        """Run a query. The parameter `keys` is a list of at most KEYS_AT_ONCE values."""

    def stream(self, statement: str, /, **parameters: object) -> Iterator[Row]:
        """Run a query and fetch as the caller iterates, inside the transaction only."""

    def run(self, statement: str, /, **parameters: object) -> int:
        """Run a statement that yields no rows; how many it touched."""

    def run_many(self, statement: str, rows: Iterable[Sequence[object]], /) -> None:
        """Run an insert once per row; its values stand in the order of the table's columns."""


class Executor(Protocol):
    """Opens by itself, closes when told to, opens again. Raises IndexUnavailableError only."""

    def read(self) -> AbstractContextManager[Session]:
        """A transaction that sees one state of the index."""

    def write(self) -> AbstractContextManager[Session]:
        """A transaction that no other writer runs beside; committed at the end, or not at all."""

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """See `engine.ports.Index.claim`."""

    def close(self) -> None:
        """Close connections."""


def rows_for(
    session: Session, statement: str, keys: Collection[object], **parameters: object
) -> Iterator[Row]:
    """Rows for any number of distinct keys, in few round trips."""
    for chunk in chunks(dict.fromkeys(keys)):
        yield from session.rows(statement, keys=chunk, **parameters)


def first(rows: list[Row]) -> Row | None:
    """The only row, or None."""
    return rows[0] if rows else None


def chunks(keys: Iterable[K], size: int = KEYS_AT_ONCE) -> Iterator[list[K]]:
    """Lists of at most `size`."""
    rest = iter(keys)
    while chunk := list(islice(rest, size)):
        yield chunk
