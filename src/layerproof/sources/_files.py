"""Named files that make up an image: of a folder, of a tar, of a tar that can only be streamed.

All that the file sources do stands on these three methods, so that a layout reads the same from a
folder, an archive, a compressed archive and an engine's export. Names come from digests and from
documents that were checked (`normalise`); nothing else of a hostile document reaches a path.

A tar that can only be streamed is passed over once for its documents (small members that begin
like JSON) and once more for each call of `stream`.
"""

import os
import stat
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Protocol

from layerproof.errors import (
    ImageNotFoundError,
    LayerproofError,
    LimitExceededError,
    ManifestError,
    UnreachableError,
    UsageError,
)
from layerproof.model.digest import Digest
from layerproof.model.image import Layer
from layerproof.oci.decompress import compression, decompress
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import verify_digest
from layerproof.sources._members import (
    CHUNK,
    FileInput,
    Member,
    MemberTable,
    StreamInput,
    read_at,
    scan,
)

# All documents of one streamed archive together; each is bounded by Limits.json_bytes.
_DOCUMENTS_BYTES = 64 << 20

# Located name, size, contents.
Streamed = Generator[tuple[str, int, Iterator[bytes]], None, None]


class Files(Protocol):
    """What an image source needs of its files."""

    @property
    def random_access(self) -> bool:
        """Whether `stream` is cheap to call for any file at any time."""

    def locate(self, name: str) -> str:
        """The name under which the contents really stand. Raises ImageNotFoundError."""

    def read(self, name: str) -> bytes:
        """A whole document, at most Limits.json_bytes. Raises ImageNotFoundError."""

    def stream(self, names: Collection[str]) -> Streamed:
        """Each of the files, in the order in which they are stored. The contents must be exhausted
        or closed before the next is asked for. Close the generator to leave early."""

    def close(self) -> None:
        """Free what is open; it is opened again when needed."""


class FolderFiles:
    """Files below a folder."""

    random_access = True

    def __init__(self, folder: str, *, where: str, limits: Limits) -> None:
        self._folder = folder
        self._where = where
        self._limits = limits

    def locate(self, name: str) -> str:
        """`name`, if it is there."""
        if not os.path.exists(os.path.join(self._folder, name)):
            raise ImageNotFoundError(f"{name} is not in the folder", where=self._where)
        return name

    def read(self, name: str) -> bytes:
        """A whole document."""
        descriptor, size = open_file(os.path.join(self._folder, name), self._where)
        try:
            check_document_size(size, name, self._where, self._limits)
            return read_at(descriptor, 0, size, self._where)
        finally:
            os.close(descriptor)

    def stream(self, names: Collection[str]) -> Streamed:
        """Each file, by name."""
        for name in sorted(names):
            descriptor, size = open_file(os.path.join(self._folder, name), self._where)
            try:
                yield name, size, chunks_at(descriptor, 0, size, self._where)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Nothing stays open."""


class TarFiles:
    """Members of an uncompressed tar, found by one walk over its headers."""

    random_access = True

    def __init__(self, file: str, *, where: str, limits: Limits) -> None:
        self._file = file
        self._where = where
        self._limits = limits
        self._descriptor = -1
        self._size = 0
        self._table: MemberTable | None = None

    def locate(self, name: str) -> str:
        """The member behind a link."""
        return self._member(name).name

    def read(self, name: str) -> bytes:
        """A whole document."""
        member = self._member(name)
        check_document_size(member.size, name, self._where, self._limits)
        return read_at(self._descriptor, member.offset, member.size, self._where)

    def stream(self, names: Collection[str]) -> Streamed:
        """Each member, by offset."""
        for member in sorted(map(self._member, names), key=lambda found: found.offset):
            contents = chunks_at(self._descriptor, member.offset, member.size, self._where)
            yield member.name, member.size, contents

    def close(self) -> None:
        """Close the file; where its members are is kept, since digests tell if it was changed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _member(self, name: str) -> Member:
        if self._descriptor < 0:
            self._descriptor, self._size = open_file(self._file, self._where)
        if self._table is None:
            table = MemberTable(self._where)
            source = FileInput(self._descriptor, self._size, self._where)
            for member in scan(source, where=self._where, limits=self._limits):
                table.add(member)
            self._table = table
        return self._table.file(name)


class StreamedFiles:
    """Members of a tar that comes as a stream, which `open_stream` starts anew."""

    random_access = False

    def __init__(
        self, open_stream: Callable[[], Generator[bytes, None, None]], *, where: str, limits: Limits
    ) -> None:
        self._open_stream = open_stream
        self._where = where
        self._limits = limits
        self._table: MemberTable | None = None
        self._documents: dict[str, bytes] | None = None

    def locate(self, name: str) -> str:
        """The member behind a link."""
        table = self._load()[0] if self._table is None else self._table
        return table.file(name).name

    def read(self, name: str) -> bytes:
        """A whole document."""
        table, documents = self._load()
        member = table.file(name)
        if member.name not in documents:
            check_document_size(member.size, name, self._where, self._limits)
            raise ManifestError(f"{name[:100]!r} is not a JSON document", where=self._where)
        return documents[member.name]

    def stream(self, names: Collection[str]) -> Streamed:
        """Each member as it passes by; the stream is left when all were seen."""
        wanted = set(names)
        with closing(self._pass()) as members:
            for source, member in members:
                if member.kind == "file" and member.name in wanted:
                    wanted.discard(member.name)
                    yield member.name, member.size, source.contents(member.size)
                    if not wanted:
                        return

    def close(self) -> None:
        """Forget the documents; which members there are is kept, it takes a pass to tell."""
        self._documents = None

    def _load(self) -> tuple[MemberTable, dict[str, bytes]]:
        if self._table is not None and self._documents is not None:
            return self._table, self._documents
        table = MemberTable(self._where)
        documents: dict[str, bytes] = {}
        room = _DOCUMENTS_BYTES
        for source, member in self._pass():
            table.add(member)
            if member.kind == "file" and 0 < member.size <= self._limits.json_bytes:
                data = _document(source, member)
                room -= len(data)
                if room < 0:
                    raise LimitExceededError(
                        f"more than {_DOCUMENTS_BYTES} bytes of JSON documents",
                        limit="json_bytes",
                        where=self._where,
                    )
                if data:
                    documents[member.name] = data
        self._table, self._documents = table, documents
        return table, documents

    def _pass(self) -> Generator[tuple[StreamInput, Member], None, None]:
        with closing(self._open_stream()) as stream:
            source = StreamInput(stream, self._where)
            for member in scan(source, where=self._where, limits=self._limits):
                yield source, member


def _document(source: StreamInput, member: Member) -> bytes:
    """The member's contents if it begins as JSON documents do, else nothing."""
    head = source.read(1)
    if head not in (b"{", b"["):
        return b""
    return head + b"".join(source.contents(member.size - 1))


# --- opening -------------------------------------------------------------------------------------


class ArchiveFiles:
    """The members of the tar in a file: with random access, or streamed if it is compressed.

    Which of the two is told by the first bytes, when somebody asks for the first time.
    """

    def __init__(self, file: str, *, where: str, limits: Limits) -> None:
        self._file = file
        self._where = where
        self._limits = limits
        self._opened: TarFiles | StreamedFiles | None = None

    @property
    def random_access(self) -> bool:
        """False for compressed archives."""
        return self._files().random_access

    def locate(self, name: str) -> str:
        """The member behind a link."""
        return self._files().locate(name)

    def read(self, name: str) -> bytes:
        """A whole document."""
        return self._files().read(name)

    def stream(self, names: Collection[str]) -> Streamed:
        """Each member, in the order of the archive."""
        return self._files().stream(names)

    def close(self) -> None:
        """Close what is open."""
        if self._opened is not None:
            self._opened.close()

    def _files(self) -> TarFiles | StreamedFiles:
        if self._opened is None:
            file, where, limits = self._file, self._where, self._limits
            if compression(_head(file, where)) == "none":
                self._opened = TarFiles(file, where=where, limits=limits)
            else:
                self._opened = StreamedFiles(
                    lambda: decompressed_file(file, where=where, limits=limits),
                    where=where,
                    limits=limits,
                )
        return self._opened


def _head(file: str, where: str) -> bytes:
    descriptor, size = open_file(file, where)
    try:
        return read_at(descriptor, 0, min(size, 4), where)
    finally:
        os.close(descriptor)


def decompressed_file(file: str, *, where: str, limits: Limits) -> Generator[bytes, None, None]:
    """The contents of a maybe compressed file. Raises what `oci.decompress` raises."""
    descriptor, size = open_file(file, where)
    try:
        yield from decompress(chunks_at(descriptor, 0, size, where), limits)
    except LayerproofError as error:
        error.where = error.where or where  # the decompressor does not know whose bytes it reads
        raise
    finally:
        os.close(descriptor)


def open_file(path: str, where: str) -> tuple[int, int]:
    """Descriptor and size of a regular file. Raises ImageNotFoundError, UnreachableError."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFoundError(
            f"{os.path.basename(path)} is not there", where=where, remedy="check the path"
        ) from error
    except OSError as error:
        raise UnreachableError(f"cannot be opened: {error.strerror}", where=where) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise UnreachableError(f"{os.path.basename(path)} is not a regular file", where=where)
    return descriptor, status.st_size


def chunks_at(descriptor: int, offset: int, size: int, where: str) -> Iterator[bytes]:
    """`size` bytes of an open file in chunks; does not move the file's own position."""
    end = offset + size
    while offset < end:
        data = read_at(descriptor, offset, min(CHUNK, end - offset), where)
        if not data:
            raise UnreachableError("became shorter while it was read", where=where)
        offset += len(data)
        yield data


def check_document_size(size: int, name: str, where: str, limits: Limits) -> None:
    """Raises LimitExceededError for what is too large to be a document."""
    if size > limits.json_bytes:
        raise LimitExceededError(
            f"{name[:100]!r} has {size} bytes, more than {limits.json_bytes}",
            limit="json_bytes",
            where=where,
        )


# --- blobs and layers ----------------------------------------------------------------------------


def blob_name(digest: Digest) -> str:
    """Where a layout keeps a blob (image-layout.md)."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def read_blob(files: Files, digest: Digest, *, where: str, size: int | None = None) -> bytes:
    """A document that is named by its digest, verified.

    Raises DigestMismatchError, ManifestError, ImageNotFoundError.
    """
    data = files.read(blob_name(digest))
    verify_digest(data, digest, where=f"{where}: {blob_name(digest)}")
    if size is not None and size != len(data):
        raise ManifestError(
            f"the descriptor of {digest} says {size} bytes, it has {len(data)}", where=where
        )
    return data


def stream_layers(
    files: Files,
    layers: Sequence[Layer],
    names: Mapping[int, str],
    wanted: Collection[int],
    *,
    where: str,
) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
    """`ImageSource.layers` over files; `names` says which file holds which position.

    Positions that share a file are served one per pass. Raises ManifestError when a file has not
    the size that its descriptor says, ImageNotFoundError when one is missing, UsageError for
    positions that the image does not have.
    """
    missing = set(wanted) - names.keys()
    if missing:
        raise UsageError(f"no layer {min(missing)} was resolved", where=where)
    pending = {position: files.locate(names[position]) for position in sorted(set(wanted))}
    while pending:
        left = len(pending)
        with closing(files.stream(set(pending.values()))) as stream:
            for name, size, contents in stream:
                position = next(p for p, located in pending.items() if located == name)
                del pending[position]
                blob = layers[position].blob
                if blob is not None and blob.size != size:
                    raise ManifestError(
                        f"the descriptor of {blob.digest} says {blob.size} bytes, it has {size}",
                        where=where,
                    )
                yield layers[position], contents
        if len(pending) == left:
            raise ImageNotFoundError(
                f"{next(iter(pending.values()))} is no longer in the archive", where=where
            )
