"""The members of an *outer* tar: the archive that holds images, not a layer.

Small and strict where the layer reader is complete: image archives are written by programs, hold
regular files, folders and links, and have no business with anything else.

- ustar with GNU long names and pax `path`, `linkpath` and `size`; base-256 numbers; the header's
  checksum must hold. Sparse members, global pax names and unknown types are refused.
- A name that leaves the archive (`..`) is refused, and so is a name that stands twice: tools
  disagree on which of the two counts.
- Links are looked up inside the archive only, and only when somebody asks for them.

Sources: POSIX pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic
Tar Format". Raises TarError, LimitExceededError.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from layerproof.errors import (
    ImageNotFoundError,
    LimitExceededError,
    ManifestError,
    TarError,
    UnreachableError,
)
from layerproof.oci.limits import Limits

BLOCK = 512
CHUNK = 1 << 18
_ZEROS = bytes(BLOCK)
_MAX_HOPS = 8
_FILE_TYPES = b"0\x007"
_HARDLINK, _SYMLINK, _FOLDER = b"1", b"2", b"5"
_DEVICES = b"346"
_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"


@dataclass(frozen=True, slots=True)
class Member:
    """One member. `link` is the name that it stands for, None when that is outside."""

    name: str
    kind: str  # "file", "link", "folder" or "device"
    size: int
    offset: int  # of the contents
    link: str | None = None


class Input(Protocol):
    """Bytes read forwards."""

    @property
    def position(self) -> int:
        """Offset of the next byte."""

    def read(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end."""

    def skip(self, count: int) -> None:
        """Pass over bytes. Raises TarError when the input ends before."""


class FileInput:
    """An open file; skipping costs nothing. Uses `pread`, so that forked processes may share it."""

    def __init__(self, descriptor: int, size: int, where: str) -> None:
        self._descriptor = descriptor
        self._size = size
        self._where = where
        self.position = 0

    def read(self, count: int) -> bytes:
        data = read_at(self._descriptor, self.position, count, self._where)
        self.position += len(data)
        return data

    def skip(self, count: int) -> None:
        if self.position + count > self._size:
            raise truncated(self._size, self._where)
        self.position += count


class StreamInput:
    """Chunks from anywhere; a member's contents are handed on without copying whole chunks."""

    def __init__(self, chunks: Iterator[bytes], where: str) -> None:
        self._chunks = chunks
        self._where = where
        self._chunk = b""
        self._used = 0
        self.position = 0

    def read(self, count: int) -> bytes:
        return b"".join(self._pieces(count))

    def skip(self, count: int) -> None:
        for _ in self.contents(count):
            pass

    def contents(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes in pieces. Raises TarError when the input ends before."""
        end = self.position + count
        yield from self._pieces(count)
        if self.position < end:
            raise truncated(self.position, self._where)

    def _pieces(self, count: int) -> Iterator[bytes]:
        while count:
            if self._used == len(self._chunk):
                self._chunk = next(self._chunks, b"")
                self._used = 0
                if not self._chunk:
                    return
            piece = self._chunk
            if self._used or len(piece) > count:
                piece = piece[self._used : self._used + count]
            self._used += len(piece)
            self.position += len(piece)
            count -= len(piece)
            yield piece


def read_at(descriptor: int, offset: int, count: int, where: str) -> bytes:
    """`count` bytes at `offset`, fewer only at the end of the file. Raises UnreachableError."""
    try:
        data = os.pread(descriptor, count, offset)
        while data and len(data) < count:
            more = os.pread(descriptor, count - len(data), offset + len(data))
            if not more:
                break
            data += more
    except OSError as error:
        raise UnreachableError(f"cannot be read: {error.strerror}", where=where) from error
    return data


def truncated(offset: int, where: str) -> TarError:
    """The archive ends inside a member."""
    return TarError("the archive is cut off", offset=offset, where=where)


def scan(source: Input, *, where: str, limits: Limits) -> Iterator[Member]:
    """Every member in order. After each, the caller may read its contents from `source`; what is
    left of them is then passed over. One zero block and the end of the file both end an archive.
    """
    for count, (member, padded_end) in enumerate(_headers(source, where, limits), start=1):
        if count > limits.archive_members:
            raise LimitExceededError(
                f"more than {limits.archive_members} members",
                limit="archive_members",
                where=where,
            )
        yield member
        source.skip(padded_end - source.position)


@dataclass(slots=True)
class _Override:
    """What extended headers say about the member that follows."""

    name: bytes | None = None
    link: bytes | None = None
    size: int | None = None


def _headers(source: Input, where: str, limits: Limits) -> Iterator[tuple[Member, int]]:
    override = _Override()
    while True:
        at = source.position
        block = source.read(BLOCK)
        if not block and override == _Override():
            return
        if len(block) < BLOCK:
            raise truncated(at, where)
        if block == _ZEROS:
            if source.read(BLOCK).strip(b"\0"):
                raise TarError("data behind the end of the archive", offset=at, where=where)
            return
        _check_sum(block, at, where)
        kind, size = block[156:157], _number(block[124:136], at, where)
        if kind in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL):
            data = _extension(source, size, at, where, limits)
            _extend(override, kind, data, at, where)
            continue
        yield _member(block, kind, size, override, source.position, where)
        override = _Override()


def _member(
    block: bytes, kind: bytes, size: int, override: _Override, offset: int, where: str
) -> tuple[Member, int]:
    at = offset - BLOCK
    size = size if override.size is None else override.size
    raw = override.name if override.name is not None else _ustar_name(block)
    name = normalise(_text(raw))
    if name is None:
        raise TarError(f"the name {raw[:100]!r} leaves the archive", offset=at, where=where)
    link: str | None = None
    if kind in (_HARDLINK, _SYMLINK):
        target = override.link if override.link is not None else block[157:257].split(b"\0")[0]
        link = _target(kind, name, _text(target))
    word = _word(kind, raw)
    if not word:
        raise TarError(f"a member of the type {kind!r}", offset=at, where=where)
    if word != "file" and size:
        raise TarError(f"a {word} with contents", offset=at, where=where)
    end = offset + -(-size // BLOCK) * BLOCK
    return Member(name, word, size, offset, link), end


def _word(kind: bytes, raw: bytes) -> str:
    if kind in (_HARDLINK, _SYMLINK):
        return "link"
    if kind == _FOLDER or (kind == b"\0" and raw.endswith(b"/")):
        return "folder"
    if kind in _FILE_TYPES:
        return "file"
    return "device" if kind in _DEVICES else ""


def _ustar_name(block: bytes) -> bytes:
    name = block[:100].split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _target(kind: bytes, name: str, text: str) -> str | None:
    """The member that a link stands for: hard links name it, symlinks say the way to it."""
    if kind == _HARDLINK:
        return normalise(text)
    if text.startswith("/"):
        return None
    return normalise(f"{name.rpartition('/')[0]}/{text}", climb=True)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def normalise(name: str, *, climb: bool = False) -> str | None:
    """Without `.`, doubled and outer slashes; None if `..` is in it (`climb`: leads outside)."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not climb or not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _check_sum(block: bytes, at: int, where: str) -> None:
    wanted = _number(block[148:156], at, where)
    if sum(block) - sum(block[148:156]) + 8 * 32 != wanted:
        raise TarError(
            "not a tar header, or a damaged one (its checksum is wrong)", offset=at, where=where
        )


def _number(field: bytes, at: int, where: str) -> int:
    """Octal digits, or base-256 when the top bit is set (GNU). Negative ones are refused."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise TarError(f"{field!r} is not a number", offset=at, where=where)
    return int(digits, 8) if digits else 0


def _extension(source: Input, size: int, at: int, where: str, limits: Limits) -> bytes:
    if size > limits.header_bytes:
        raise LimitExceededError(
            f"an extended header of {size} bytes, more than {limits.header_bytes}",
            limit="header_bytes",
            where=where,
        )
    data = source.read(size)
    if len(data) < size:
        raise truncated(at, where)
    source.skip(-size % BLOCK)
    return data


def _extend(override: _Override, kind: bytes, data: bytes, at: int, where: str) -> None:
    if kind == _GNU_NAME:
        override.name = data.rstrip(b"\0")
    elif kind == _GNU_LINK:
        override.link = data.rstrip(b"\0")
    else:
        for key, value in _pax_records(data, at, where):
            if key.startswith(b"GNU.sparse."):
                raise TarError("a sparse member", offset=at, where=where)
            if key in (b"path", b"linkpath", b"size"):
                if kind == _PAX_GLOBAL:
                    raise TarError(f"a global {key.decode()}", offset=at, where=where)
                _apply(override, key, value, at, where)


def _apply(override: _Override, key: bytes, value: bytes, at: int, where: str) -> None:
    if key == b"path":
        override.name = value
    elif key == b"linkpath":
        override.link = value
    elif value.isdigit() and len(value) < 20:
        override.size = int(value)
    else:
        raise TarError(f"{value[:40]!r} is not a size", offset=at, where=where)


def _pax_records(data: bytes, at: int, where: str) -> Iterator[tuple[bytes, bytes]]:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts the whole record."""
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        digits = data[position:space] if space > 0 else b""
        end = position + int(digits) if digits.isdigit() else -1
        key, equals, value = data[space + 1 : max(end, 0)].partition(b"=")
        if end <= space or end > len(data) or not equals or value[-1:] != b"\n":
            raise TarError("a damaged pax header", offset=at, where=where)
        yield key, value[:-1]
        position = end


class MemberTable:
    """The members of one archive by name; duplicates are refused."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._members: dict[str, Member] = {}

    def add(self, member: Member) -> None:
        """Raises TarError for a name that stood before (folders may be repeated)."""
        known = self._members.setdefault(member.name, member)
        if known is not member and not known.kind == member.kind == "folder":
            raise TarError(
                f"the name {member.name[:100]!r} stands twice in the archive",
                offset=member.offset - BLOCK,
                where=self._where,
            )

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def file(self, name: str) -> Member:
        """The regular file of this name, through links.

        Raises ImageNotFoundError, and ManifestError for links that lead outside or in circles.
        """
        member = self._members.get(name)
        for _ in range(_MAX_HOPS):
            if member is None or member.kind != "link":
                break
            if member.link is None:
                raise ManifestError(f"{name[:100]!r} leads out of the archive", where=self._where)
            member = self._members.get(member.link)
        if member is None:
            raise ImageNotFoundError(f"{name[:100]!r} is not in the archive", where=self._where)
        if member.kind != "file":
            raise ManifestError(f"{name[:100]!r} is not a regular file", where=self._where)
        return member
