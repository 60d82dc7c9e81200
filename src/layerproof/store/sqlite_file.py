"""The index file as the file system sees it: made safely, and how it may be opened.

A file that SQLite has open must never be opened and closed by anybody else in the same process:
closing any handle drops all POSIX locks of the process on that file (sqlite.org/howtocorrupt.html
section 2.2). So nothing here opens a file that exists.
"""

import os
from contextlib import suppress
from enum import Enum
from pathlib import Path
from urllib.parse import quote_from_bytes

from layerproof.errors import IndexUnavailableError

_ELSEWHERE = "name another file with --index or LAYERPROOF_INDEX"


class Access(Enum):
    """How SQLite is to open the file: its URI parameters."""

    WRITE = "mode=rw"
    READ = "mode=ro"  # somebody else writes: share the write-ahead log with them
    FROZEN = "mode=ro&immutable=1"  # nobody writes, and we may not even make the lock files


def prepare(path: Path) -> Access:
    """Make the file and its folders if they are missing, for the owner only, and say how to open.

    Raises IndexUnavailableError where that is impossible.
    """
    try:
        if not path.exists():
            _make_folders(path.parent)
            _make_file(path)
        folder = path.is_dir()
    except OSError as error:
        raise IndexUnavailableError(
            f"the index cannot be reached or created: {error.strerror}",
            where=str(path),
            remedy=f"make its folder accessible and writable, or {_ELSEWHERE}",
        ) from error
    if folder:
        raise IndexUnavailableError(
            "the index must be a file, this is a folder", where=str(path), remedy=_ELSEWHERE
        )
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK):
        return Access.WRITE
    return Access.READ if _log(path).exists() else Access.FROZEN


def uri(path: Path, access: Access) -> str:
    """SQLite's URI for opening it (sqlite.org/uri.html)."""
    return f"file:{quote_from_bytes(os.fsencode(path))}?{access.value}"


def identity(path: Path, access: Access) -> tuple[object, ...]:
    """Differs when the file was replaced; if it is FROZEN, also when it was changed."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    if access is Access.FROZEN:
        return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size, _log(path).exists()
    return stat.st_dev, stat.st_ino


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _make_folders(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def _make_file(path: Path) -> None:
    with suppress(FileExistsError):  # because another process may be faster
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
