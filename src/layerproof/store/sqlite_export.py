"""An index file that came from elsewhere: opened for reading only, after a look at all of it.

The file is hostile until the opposite is shown (sqlite.org/security.html): it must hold our tables
and nothing that runs (views, triggers, virtual tables, expressions), and be whole. It is never
changed: a file of an older version is brought to the newest schema in a copy.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from layerproof.errors import IndexUnavailableError, IndexVersionError, UsageError
from layerproof.store.index import SqlIndex
from layerproof.store.migrate import upgrade
from layerproof.store.sqlite import SqliteExecutor
from layerproof.store.sqlite_file import Access, uri
from layerproof.store.sqlite_sql import APPLICATION_ID, HEAD, REVISIONS, SCHEMA

_OF_SQLITE = ("sqlite_stat1", "sqlite_sequence")  # what it makes by itself
_TABLES = {statement.split()[2] for statement in SCHEMA if statement.startswith("CREATE TABLE")}
_HIDDEN = ("GENERATED", " AS (", "CHECK", "DEFAULT (", "COLLATE")  # what runs inside a table


@contextmanager
def open_export(file: Path) -> Iterator[SqlIndex]:
    """The index in `file`, until the block ends. Raises UsageError, IndexVersionError,
    IndexUnavailableError."""
    if not file.is_file():
        raise UsageError("there is no such file", where=str(file), remedy="check the path")
    if file.with_name(file.name + "-wal").exists():
        raise UsageError(
            "this index is in use, or was not closed",
            where=str(file),
            remedy="export it, or copy it with `layerproof index backup`",
        )
    file = file.absolute()
    try:
        with closing(_opened(file)) as connection:
            revision = _looked_at(connection, file)
        if revision == HEAD:
            yield from _index(file)
            return
        with tempfile.TemporaryDirectory(prefix="layerproof-import-") as folder:
            copy = Path(folder) / "index.db"
            with closing(_opened(file)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            upgrade(copy)
            yield from _index(copy)
    except sqlite3.Error as error:
        raise _refused(file, f"it is damaged or no index ({error})") from error


def _index(file: Path) -> Iterator[SqlIndex]:
    index = SqlIndex(SqliteExecutor(file, frozen=True))
    try:
        yield index
    finally:
        index.close()


def _opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(uri(file, Access.FROZEN), uri=True, isolation_level=None)
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


def _looked_at(connection: sqlite3.Connection, file: Path) -> str:
    """The schema's revision, of a file that is whole and holds tables of ours only."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise _refused(file, "it is not a Layerproof index")
    objects = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    for kind, name, sql in objects:
        if not _is_plain(kind, name, sql):
            raise _refused(
                file, f"it holds {str(kind)[:20]} {str(name)[:60]!r}, which no index has"
            )
    if "alembic_version" not in {name for _, name, _ in objects}:
        raise _refused(file, "it holds no tables")
    versions = connection.execute("SELECT version_num FROM alembic_version LIMIT 2").fetchall()
    if len(versions) != 1 or versions[0][0] not in REVISIONS:
        raise IndexVersionError(
            f"the file was written by a newer Layerproof (schema {str(versions)[:60]})",
            where=str(file),
            remedy="upgrade Layerproof here, or export it again with this version",
        )
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _refused(file, "it is damaged: it was altered, or not copied whole")
    return str(versions[0][0])


def _is_plain(kind: object, name: object, sql: object) -> bool:
    if kind == "index":
        return sql is None or (isinstance(sql, str) and " WHERE " not in sql.upper())
    if kind != "table" or not isinstance(sql, str):
        return False
    text = " ".join(sql.upper().split())
    return (
        (name in _TABLES or name in _OF_SQLITE)
        and text.startswith("CREATE TABLE ")
        and not any(word in text for word in _HIDDEN)
    )


def _refused(file: Path, why: str) -> IndexUnavailableError:
    return IndexUnavailableError(
        f"this file cannot be imported: {why}",
        where=str(file),
        remedy="let it be exported and copied again; nothing was changed here",
    )
