"""SQLite on the standard library's driver, without SQLAlchemy.

1. The file is opened at the first use, and made if it is missing (`sqlite_file`, `_create`).
2. Write-ahead log: readers and one writer work side by side; a killed process loses only the
   transaction that it was in. Writers take the lock at the start (BEGIN IMMEDIATE), so that they
   wait for each other instead of failing half-way.
3. An SQLite connection must not be carried across a fork (sqlite.org/howtocorrupt.html section
   2.6): even a child that opens its own would share its parent's idea of which locks it holds. So
   connections are closed before every fork, and each process opens its own when it needs one.
4. No exception of the driver leaves this module.
"""

import os
import re
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path

from layerproof.errors import IndexUnavailableError, IndexVersionError, UsageError
from layerproof.model.digest import DiffId
from layerproof.store.claims import claim
from layerproof.store.codec import DamagedRowError
from layerproof.store.executor import KEYS_AT_ONCE, Row, Session
from layerproof.store.sqlite_file import Access, identity, prepare, uri
from layerproof.store.sqlite_sql import APPLICATION_ID, HEAD, REVISIONS, SCHEMA, STATEMENTS

PAGE_SIZE = 16384  # measured, docs/adr/0002
_COPIED_AT_ONCE = 512  # pages, by a backup
LOG_PAGES = 2000  # the log is folded into the file when it is this long (32 MB)

_OLDEST = (3, 24)  # upsert


class SqliteExecutor:
    """Transactions on one SQLite file. Safe for threads (one at a time) and across forks."""

    def __init__(
        self,
        path: Path,
        *,
        busy_seconds: float = 30.0,
        durable: bool = False,
        frozen: bool = False,
    ) -> None:
        """`durable`: what is committed survives a power cut too, at the price of one fsync for each
        transaction; else the last ones may be lost with the power, never with the process.
        `frozen`: only read, from a file that nobody writes."""
        self._frozen = frozen
        self._path = path.absolute()
        self._synchronous = "FULL" if durable else "NORMAL"
        self._busy_seconds = busy_seconds
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._access = Access.WRITE
        self._identity: tuple[object, ...] = ()
        self._carried: sqlite3.Connection | None = None  # over a fork, against the rules
        _EXECUTORS.add(self)

    def read(self) -> AbstractContextManager[Session]:
        """A transaction that sees one state of the index. Raises IndexUnavailableError."""
        return self._reading()

    def write(self) -> AbstractContextManager[Session]:
        """A transaction that no other writer runs beside. Raises IndexUnavailableError."""
        return self._writing()

    def claim(self, diff_id: DiffId) -> AbstractContextManager[None]:
        """The right to read a layer. Raises IndexUnavailableError."""
        return claim(self._path, diff_id)

    def close(self) -> None:
        """Close the connection, if there is one."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with self._translated():
                    connection.close()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._lock, self._translated(), self._transaction("BEGIN") as session:
            yield session
            if self._access is Access.FROZEN and self._replaced():
                raise self._unavailable(
                    "the index changed while it was read without locks", "try again"
                )

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with self._lock, self._translated():
            self._connected()
            if self._access is not Access.WRITE:
                raise self._unavailable(
                    "the index can only be read",
                    "make the file and its folder writable, or name another with --index",
                )
            with self._transaction("BEGIN IMMEDIATE") as session:
                yield session

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Session]:
        connection = self._connected()
        connection.execute(begin)
        try:
            yield _SqliteSession(connection)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # because SQLite may have rolled back by itself
                connection.rollback()
            raise

    # --- opening ---

    def _connected(self) -> sqlite3.Connection:
        if self._carried is not None:
            raise self._unavailable(
                "the index was in use when this process was forked", "fork outside transactions"
            )
        if self._connection is not None and self._replaced():
            self.close()
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _replaced(self) -> bool:
        return identity(self._path, self._access) != self._identity

    def _open(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise self._unavailable(
                f"SQLite {sqlite3.sqlite_version} is too old", "use a Python with SQLite 3.24"
            )
        self._access = Access.FROZEN if self._frozen else prepare(self._path)
        connection = self._connect()
        try:
            if self._revision(connection) != HEAD:
                connection = self._upgraded(connection)
            if self._frozen:
                connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        except BaseException:
            connection.close()
            raise
        self._identity = identity(self._path, self._access)
        return connection

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            uri(self._path, self._access),
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,  # because `_lock` is held for every transaction
            cached_statements=256,
        )

    def _revision(self, connection: sqlite3.Connection) -> str:
        """The schema's revision, "" for none; of an empty file after making the newest schema.

        Raises IndexVersionError for one that this version does not know.
        """
        if not _is_ours(connection):
            if not _is_empty(connection):
                raise self._unavailable(
                    "this is not a Layerproof index", "name another file with --index"
                )
            self._create(connection)
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        revision = "" if row is None else row[0]
        if not isinstance(revision, str):  # SQLite does not check the types of a damaged page
            raise DamagedRowError("its schema has no revision")
        if revision and revision not in REVISIONS:
            raise IndexVersionError(
                f"the index was written by a newer Layerproof (schema {revision})",
                where=str(self._path),
                remedy="upgrade Layerproof, or name another file with --index",
            )
        return revision

    def _create(self, connection: sqlite3.Connection) -> None:
        if self._access is not Access.WRITE:
            raise self._unavailable("the index is empty and can only be read", "make it writable")
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        self._log_ahead(connection)
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection):  # else another process was faster
            for statement in SCHEMA:
                connection.execute(statement)
        connection.execute("COMMIT")

    def _log_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log. SQLite does not wait for locks here, so we do."""
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _upgraded(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.close()
        if self._access is not Access.WRITE:
            raise self._unavailable(
                "the index has an older schema and can only be read",
                "open it once where it is writable",
            )
        # Here, because it loads alembic and SQLAlchemy: a quarter of a second.
        from layerproof.store.migrate import upgrade

        upgrade(self._path, busy_seconds=self._busy_seconds)
        return self._connect()

    # --- errors ---

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = _primary_code(error)
            message, remedy = _MEANINGS.get(code, (f"the index failed: {error}", _INDEX_AGAIN))
            raise self._unavailable(message, remedy) from error
        except (DamagedRowError, UnicodeDecodeError) as error:
            raise self._unavailable(f"the index is damaged: {error}", _INDEX_AGAIN) from error

    def _unavailable(self, message: str, remedy: str) -> IndexUnavailableError:
        return IndexUnavailableError(message, where=str(self._path), remedy=remedy)

    # --- forks ---

    def before_fork(self) -> None:
        """Wait for transactions of other threads and close; `after_fork` follows."""
        self._lock.acquire()
        if self._connection is not None and not self._connection.in_transaction:
            with suppress(IndexUnavailableError):
                self.close()

    def after_fork(self, *, child: bool) -> None:
        """Go on. A child must not even close what its parent has open."""
        if child and self._connection is not None:
            self._carried, self._connection = self._connection, None
        self._lock.release()


def back_up(
    path: Path, file: Path, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> int:
    """A copy of the index at `path`, while it is in use; its size in bytes. `progress` is told how
    many bytes of how many are copied. Raises IndexUnavailableError, UsageError.

    By SQLite's own backup (sqlite.org/backup.html): the copy is of one moment. A transaction is
    kept open for it, because SQLite begins again whenever the state that it reads has changed.
    """
    if not path.exists():  # it would be made, and an empty index be backed up
        raise UsageError(
            "there is no index to back up", where=str(path), remedy="name it: --index FILE"
        )
    executor = SqliteExecutor(path)
    with executor.read():
        pass  # it is ours, and of a version that we know
    executor.close()
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise UsageError(
            "the file exists already", where=str(file), remedy="name another one"
        ) from None
    except OSError as error:
        raise UsageError(
            f"the copy cannot be written: {error.strerror}",
            where=str(file),
            remedy="name a file in a folder that exists and may be written",
        ) from error
    try:
        _copy_pages(path, file, progress)
    except sqlite3.Error as error:
        _forget(file)
        raise IndexUnavailableError(
            f"the index cannot be copied: {error}", where=str(file), remedy="see that there is room"
        ) from error
    except BaseException:
        _forget(file)
        raise
    return file.stat().st_size


def _forget(file: Path) -> None:
    """Half a copy is worse than none."""
    for name in (file.name, f"{file.name}-journal"):
        file.with_name(name).unlink(missing_ok=True)


def _copy_pages(path: Path, file: Path, progress: Callable[[int, int], None]) -> None:
    source = sqlite3.connect(path, isolation_level=None)
    target = sqlite3.connect(file)
    try:
        source.execute("BEGIN")
        size: int = source.execute("PRAGMA page_size").fetchone()[0]
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the moment is this one

        def tell(_status: int, remaining: int, total: int) -> None:
            progress((total - remaining) * size, total * size)

        source.backup(target, pages=_COPIED_AT_ONCE, progress=tell)
    finally:
        source.close()
        target.close()


class _SqliteSession:
    """Runs statements by name on a connection that is in a transaction."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, /, **parameters: object) -> list[Row]:
        return self._connection.execute(*_bound(statement, parameters)).fetchall()

    def stream(self, statement: str, /, **parameters: object) -> Iterator[Row]:
        return iter(self._connection.execute(*_bound(statement, parameters)))

    def run(self, statement: str, /, **parameters: object) -> int:
        return self._connection.execute(*_bound(statement, parameters)).rowcount

    def run_many(self, statement: str, rows: Iterable[Sequence[object]], /) -> None:
        self._connection.executemany(_positional(statement), rows)


def _bound(statement: str, parameters: dict[str, object]) -> tuple[str, dict[str, object]]:
    keys = parameters.pop("keys", None)
    if not isinstance(keys, list):
        return STATEMENTS[statement], parameters
    # Few distinct lengths make few distinct statements; a repeated key changes no result.
    size = 1 << (len(keys) - 1).bit_length()
    keys = keys + keys[-1:] * (size - len(keys))
    parameters.update(zip(_key_names(size), keys, strict=True))
    return _expanded(statement, size), parameters


@cache
def _key_names(size: int) -> tuple[str, ...]:
    assert size <= KEYS_AT_ONCE
    return tuple(f"key{n}" for n in range(size))


@cache
def _expanded(statement: str, size: int) -> str:
    return STATEMENTS[statement].replace(":keys*", ", ".join(f":{n}" for n in _key_names(size)))


@cache
def _positional(statement: str) -> str:
    """With `?` for every parameter: binding by place takes two thirds of the time."""
    return re.sub(r":\w+", "?", STATEMENTS[statement])


def _is_ours(connection: sqlite3.Connection) -> bool:
    found = connection.execute("PRAGMA application_id").fetchone()
    return found is not None and found[0] == APPLICATION_ID


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def _primary_code(error: sqlite3.Error) -> int:
    """The primary result code (sqlite.org/rescode.html); 0 where the driver gives none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


_INDEX_AGAIN = "move the file away and index again; the images are not affected"
_MEANINGS: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_BUSY: (
        "another process has kept the index locked for too long",
        "wait until it is done, or stop it",
    ),
    sqlite3.SQLITE_FULL: ("the disk is full", "make room; what was indexed before is safe"),
    sqlite3.SQLITE_IOERR: ("the disk failed to read or write the index", "check disk and quota"),
    sqlite3.SQLITE_NOTADB: ("this is not a Layerproof index", "name another file with --index"),
    sqlite3.SQLITE_CORRUPT: ("the index is damaged", _INDEX_AGAIN),
    sqlite3.SQLITE_READONLY: ("the index can only be read", "make file and folder writable"),
    sqlite3.SQLITE_PERM: ("the index may not be opened", "make the file readable for you"),
    sqlite3.SQLITE_CANTOPEN: ("the index cannot be opened", "make file and folder accessible"),
}

# Every executor of this process: an SQLite connection must be closed before a fork, whoever forks.
_EXECUTORS: "weakref.WeakSet[SqliteExecutor]" = weakref.WeakSet()


def _before_fork() -> None:
    _FORKING.extend(_EXECUTORS)
    for executor in _FORKING:
        executor.before_fork()


def _after_fork(*, child: bool) -> None:
    while _FORKING:
        _FORKING.pop().after_fork(child=child)


_FORKING: list[SqliteExecutor] = []

os.register_at_fork(
    before=_before_fork,
    after_in_parent=lambda: _after_fork(child=False),
    after_in_child=lambda: _after_fork(child=True),
)
