"""The documents of a path: a file, a compressed one, an archive or a folder of any of these.

Archives are hostile: they are read in memory, member by member, and nothing is written anywhere. A
member that is too large or damaged is reported and passed over; the rest is read.
"""

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from layerproof.advisories.documents import INDEXES, is_document
from layerproof.errors import AdvisoryError

MAX_DOCUMENT = 512 << 20  # bytes of one document: Debian's tracker has 70 MB
MAX_MEMBER = 64 << 20  # bytes of one member of an archive
MAX_MEMBERS = 5_000_000
MAX_TOTAL = 64 << 30  # bytes of all members of one archive
_CHUNK = 1 << 20
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".apk")
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,  # an encrypted member
    ValueError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Document:
    """`problem` says why there is no `data`."""

    name: str
    data: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """What is imported as one: all of it replaces what was imported under its name before."""

    name: str
    whole: bool  # an archive or a folder: may speak for a whole ecosystem
    changed: datetime
    documents: Callable[[], Iterator[Document]]


def containers(path: Path, release: str = "") -> Iterator[Container]:
    """What is at `path`. A folder's loose documents are one container, each archive in it is one.
    `release` is the ecosystem that package indexes are of.

    Raises AdvisoryError where nothing can be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise AdvisoryError(
            f"cannot be read: {error.strerror}", where=str(path), remedy="check the path"
        ) from error
    changed = datetime.fromtimestamp(status.st_mtime, UTC)
    if stat.S_ISREG(status.st_mode):
        archive = _is_archive(path.name)
        yield Container(
            _plain(path.name),
            archive,
            changed,
            lambda: documents_of(path, path.name, release),
        )
    elif stat.S_ISDIR(status.st_mode):
        yield from _folder(path, release)
    else:
        raise AdvisoryError("neither a file nor a folder", where=str(path), remedy="check the path")


def documents_of(path: Path, name: str, release: str = "") -> Iterator[Document]:
    """The documents of one file that goes by `name`; those of a package index are marked with the
    release that it is of."""
    found = _archive(path, name) if _is_archive(name) else iter((_file(path, name),))
    for document in found:
        last = document.name.rpartition("/")[2]
        if release and last in INDEXES:
            yield Document(f"{release}#{last}", document.data, document.problem)
        else:
            yield document


def _plain(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _is_archive(name: str) -> bool:
    return name.endswith(_ARCHIVES)


def _folder(path: Path, release: str) -> Iterator[Container]:
    loose: list[Path] = []
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            found = Path(folder, name)
            if _is_archive(name):
                yield from containers(found, release)
            elif is_document(str(found.relative_to(path)).removesuffix(".gz").removesuffix(".xz")):
                loose.append(found)
    if loose:
        changed = max(os.stat(file).st_mtime for file in loose)
        yield Container(
            _plain(path.resolve().name),
            True,
            datetime.fromtimestamp(changed, UTC),
            lambda: (_file(file, str(file.relative_to(path))) for file in loose),
        )


def _file(path: Path, name: str) -> Document:
    plain = _plain(name.removesuffix(".gz").removesuffix(".xz"))
    opener: Callable[[Path], IO[bytes]] = open_binary
    if name.endswith(".gz"):
        opener = gzip.open  # type: ignore[assignment]  # its modes give other types
    elif name.endswith(".xz"):
        opener = lzma.open
    try:
        with opener(path) as file:
            return _bounded(file, plain, MAX_DOCUMENT)
    except _DAMAGED as error:
        return Document(plain, problem=f"cannot be read: {error}")


def open_binary(path: Path) -> IO[bytes]:
    """A file for reading."""
    return path.open("rb")


def _bounded(file: IO[bytes], name: str, limit: int) -> Document:
    data = file.read(limit + 1)
    if len(data) > limit:
        return Document(name, problem=f"larger than {limit} bytes")
    return Document(name, data)


def _archive(path: Path, name: str) -> Iterator[Document]:
    members = _zip(path) if name.endswith(".zip") else _tar(path)
    total = 0
    try:
        for count, document in enumerate(members, 1):
            total += len(document.data)
            if count > MAX_MEMBERS or total > MAX_TOTAL:
                limit = (
                    f"more than {MAX_MEMBERS} members or {MAX_TOTAL} bytes; the rest was not read"
                )
                yield Document(_plain(name), problem=limit)
                return
            yield document
    except _DAMAGED as error:
        yield Document(_plain(name), problem=f"the archive is damaged from here on: {error}")


def _zip(path: Path) -> Iterator[Document]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = _plain(member.filename)
            if member.is_dir() or not is_document(name):
                continue
            if member.file_size > MAX_MEMBER:
                yield Document(name, problem=f"larger than {MAX_MEMBER} bytes")
                continue
            try:
                with archive.open(member) as file:
                    yield _bounded(file, name, MAX_MEMBER)
            except _DAMAGED as error:
                yield Document(name, problem=f"cannot be read: {error}")


def _tar(path: Path) -> Iterator[Document]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            name = _plain(member.name)
            if not member.isreg() or not is_document(name):
                continue
            if member.size > MAX_MEMBER:
                yield Document(name, problem=f"larger than {MAX_MEMBER} bytes")
                continue
            file = archive.extractfile(member)
            if file is not None:
                yield _bounded(file, name, MAX_MEMBER)
            archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
