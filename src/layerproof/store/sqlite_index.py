"""The default index: one SQLite file."""

from pathlib import Path

from layerproof.store.index import SqlIndex
from layerproof.store.sqlite import SqliteExecutor


def open_sqlite(path: Path, *, busy_seconds: float = 30.0) -> SqlIndex:
    """The index in this file. Nothing is opened or made before the first use.

    `busy_seconds`: how long to wait for another process that writes.
    """
    return SqlIndex(SqliteExecutor(path, busy_seconds=busy_seconds))
