"""A layer's changes as one compact blob, and back. Columns, because equal columns compress well.

Layout (little endian): magic `LPC1`; crc32 of all that follows; then three sections, each a uint32
length and that many bytes:

1. zlib of the columns in the order of `_Columns`, each a uint32 length in bytes and its items
2. the distinct sha256 of files, 32 bytes each: as they are, they do not compress
3. zlib of a JSON object with what is rare or small: counts, causes, owners, xattrs, devices

Entries stand in the order of the changes: all `before`, then all `after`. Most of what an `after`
says its `before` said already, so it is not said again.

Our own format for our own data: a blob that does not decode is a damaged index. Every number is
checked all the same.
"""

import json
import struct
import sys
import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from itertools import accumulate, pairwise

from layerproof.errors import IndexUnavailableError
from layerproof.model.change import Change, ChangeKind, ChangeSet
from layerproof.model.entry import Entry
from layerproof.oci.construct import make_change, make_entry
from layerproof.oci.entrycodec import filter_of

_MAGIC = b"LPC1"
_HEAD = struct.Struct("<4sI")
_LENGTH = struct.Struct("<I")
_MOST = 1 << 29  # no honest section comes near; a crafted one must not fill the memory
_KINDS = tuple(ChangeKind)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}

_BEFORE, _AFTER = 1, 2  # sides: what a change has
_PATH, _SIZE, _DIGEST, _LINK, _SAME = 1, 2, 4, 8, 16  # flags: what an entry has of its own;
# _SAME: size and digest are those of the change's `before`


def _numbers() -> "array[int]":
    return array("I")


@dataclass(slots=True)
class _Columns:
    # per change
    kinds: bytearray = field(default_factory=bytearray)
    sides: bytearray = field(default_factory=bytearray)
    causes: "array[int]" = field(default_factory=_numbers)
    by: "array[int]" = field(default_factory=_numbers)  # number of a text
    target: "array[int]" = field(default_factory=_numbers)  # number of a text
    hidden: "array[int]" = field(default_factory=_numbers)
    path_lengths: "array[int]" = field(default_factory=_numbers)
    paths: bytearray = field(default_factory=bytearray)
    # per entry
    entry_kinds: bytearray = field(default_factory=bytearray)
    flags: bytearray = field(default_factory=bytearray)
    owners: "array[int]" = field(default_factory=_numbers)
    # per entry that has the flag
    own_paths: "array[int]" = field(default_factory=_numbers)  # number of a text
    sizes: "array[int]" = field(default_factory=lambda: array("Q"))
    digests: "array[int]" = field(default_factory=lambda: array("i"))  # steps from the last one
    links: "array[int]" = field(default_factory=_numbers)  # number of a text
    # texts: distinct byte strings that some columns name by number
    text_lengths: "array[int]" = field(default_factory=_numbers)
    texts: bytearray = field(default_factory=bytearray)

    def pack(self) -> bytes:
        parts = []
        for column in fields(self):
            items = getattr(self, column.name)
            data = bytes(items) if isinstance(items, bytearray) else _little(items).tobytes()
            parts += [_LENGTH.pack(len(data)), data]
        return b"".join(parts)

    @classmethod
    def unpack(cls, data: bytes) -> "_Columns":
        columns = cls()
        found = _sections(data, 0, len(fields(columns)))
        for column, section in zip(fields(columns), found, strict=True):
            items = getattr(columns, column.name)
            if isinstance(items, bytearray):
                items += section
            else:
                items.frombytes(section)
                setattr(columns, column.name, _little(items))
        return columns


def encode(changes: ChangeSet) -> bytes:
    """The blob for `changes`."""
    writer = _Writer()
    for change in changes.changes:
        writer.add_change(change)
    for change in changes.changes:
        if change.before is not None:
            writer.add_entry(change.before, change.path, None)
    for change in changes.changes:
        if change.after is not None:
            writer.add_entry(change.after, change.path, change.before)
    body = b"".join(_LENGTH.pack(len(s)) + s for s in writer.sections(changes))
    return _HEAD.pack(_MAGIC, zlib.crc32(body)) + body


def change_filter(changes: Iterable[Change]) -> bytes:
    """Sorted little-endian uint32: the crc32 of every path that a change names
    (`model.contents.ChainRecord`)."""
    paths = {path for change in changes for path in (change.path, change.by, change.target)}
    return filter_of(paths - {b""})


def decode(blob: bytes) -> ChangeSet:
    """The changes. Raises IndexUnavailableError for a blob that `encode` did not write."""
    try:
        magic, checksum = _HEAD.unpack_from(blob)
        if magic != _MAGIC or checksum != zlib.crc32(memoryview(blob)[_HEAD.size :]):
            raise ValueError("unknown format, or damaged")
        columns, digests, rare = _sections(blob, _HEAD.size, 3)
        return _Reader(_Columns.unpack(_inflate(columns)), digests, _inflate(rare)).read()
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        OverflowError,
        RecursionError,
        StopIteration,
        struct.error,
        zlib.error,
    ) as error:
        raise IndexUnavailableError(
            f"the changes of a layer do not decode: {error}",
            remedy="the index is damaged: restore it, or delete it and index again",
        ) from error


class _Writer:
    """Fills columns."""

    def __init__(self) -> None:
        self.columns = _Columns()
        self._causes: dict[str, int] = {}
        self._owners: dict[tuple[int, int, int], int] = {}
        self._texts: dict[bytes, int] = {b"": 0}
        self._digests: dict[bytes, int] = {}
        self._digest_order: list[int] = [0]
        self._xattrs: dict[int, dict[str, str]] = {}
        self._devices: dict[int, tuple[int, int]] = {}

    def add_change(self, change: Change) -> None:
        columns = self.columns
        columns.kinds.append(_KIND_NUMBERS[change.kind])
        sides = (_BEFORE if change.before is not None else 0) | (
            _AFTER if change.after is not None else 0
        )
        columns.sides.append(sides)
        columns.causes.append(self._causes.setdefault(str(change.cause), len(self._causes)))
        columns.by.append(self._text(change.by))
        columns.target.append(self._text(change.target))
        columns.hidden.append(change.hidden)
        columns.path_lengths.append(len(change.path))
        columns.paths += change.path

    def add_entry(self, entry: Entry, path: bytes, before: Entry | None) -> None:
        columns = self.columns
        flags = 0
        if entry.path != path:
            flags |= _PATH
            columns.own_paths.append(self._text(entry.path))
        if before is not None and (before.size, before.sha256) == (entry.size, entry.sha256):
            flags |= _SAME
        else:
            flags |= self._contents(entry)
        if entry.link is not None:
            flags |= _LINK
            columns.links.append(self._text(entry.link))
        if entry.xattrs:
            xattrs = {name: b64encode(value).decode() for name, value in entry.xattrs.items()}
            self._xattrs[len(columns.flags)] = xattrs
        if entry.device is not None:
            self._devices[len(columns.flags)] = entry.device
        owner = (entry.mode, entry.uid, entry.gid)
        columns.owners.append(self._owners.setdefault(owner, len(self._owners)))
        columns.entry_kinds.append(entry.kind)
        columns.flags.append(flags)

    def sections(self, changes: ChangeSet) -> tuple[bytes, bytes, bytes]:
        columns = self.columns
        columns.digests = array("i", [b - a for a, b in pairwise(self._digest_order)])
        columns.text_lengths = array("I", [len(text) for text in self._texts])
        columns.texts = bytearray(b"".join(self._texts))
        rare = {
            "counts": {str(kind): count for kind, count in changes.counts.items()},
            "absentWhiteouts": changes.absent_whiteouts,
            "causes": list(self._causes),
            "owners": list(self._owners),
            "xattrs": self._xattrs,
            "devices": self._devices,
        }
        text = json.dumps(rare, separators=(",", ":")).encode()
        return zlib.compress(columns.pack()), b"".join(self._digests), zlib.compress(text)

    def _contents(self, entry: Entry) -> int:
        flags = 0
        if entry.size:
            flags |= _SIZE
            self.columns.sizes.append(entry.size)
        if entry.sha256 is not None:
            flags |= _DIGEST
            number = self._digests.setdefault(entry.sha256, len(self._digests))
            self._digest_order.append(number)
        return flags

    def _text(self, text: bytes) -> int:
        return self._texts.setdefault(text, len(self._texts))


class _Reader:
    """Reads columns. Any exception that `decode` lists means damage."""

    def __init__(self, columns: _Columns, digests: bytes, rare: bytes) -> None:
        self._columns = columns
        self._rare = json.loads(rare)
        self._owners = [_owner(*owner) for owner in self._rare["owners"]]
        self._xattrs = {
            int(number): {name: b64decode(value) for name, value in xattrs.items()}
            for number, xattrs in self._rare["xattrs"].items()
        }
        self._devices = {
            int(number): (int(major), int(minor))
            for number, (major, minor) in self._rare["devices"].items()
        }
        self._texts = _cut(columns.texts, columns.text_lengths)
        self._paths = _cut(columns.paths, columns.path_lengths)
        self._digests = _cut(digests, [32] * (len(digests) // 32))
        self._next_digest = accumulate(columns.digests)
        self._next_size = iter(columns.sizes)
        self._next_link = iter(columns.links)
        self._next_path = iter(columns.own_paths)
        self._number = 0

    def read(self) -> ChangeSet:
        columns, texts = self._columns, self._texts
        before = self._side(_BEFORE, [None] * len(self._paths))
        after = self._side(_AFTER, before)
        causes = [str(cause) for cause in self._rare["causes"]]
        changes = tuple(
            make_change(_KINDS[kind], path, old, new, causes[cause], texts[by], texts[to], hidden)
            for kind, path, old, new, cause, by, to, hidden in zip(
                columns.kinds,
                self._paths,
                before,
                after,
                columns.causes,
                columns.by,
                columns.target,
                columns.hidden,
                strict=True,
            )
        )
        counts = {ChangeKind(kind): int(n) for kind, n in self._rare["counts"].items()}
        return ChangeSet(counts, changes, int(self._rare["absentWhiteouts"]))

    def _side(self, side: int, before: list[Entry | None]) -> list[Entry | None]:
        entries: list[Entry | None] = [None] * len(self._paths)
        for position, sides in enumerate(self._columns.sides):
            if sides & side:
                entries[position] = self._entry(self._paths[position], before[position])
        return entries

    def _entry(self, path: bytes, before: Entry | None) -> Entry:
        columns, number = self._columns, self._number
        self._number += 1
        flags = columns.flags[number]
        if flags & _PATH:
            path = self._texts[next(self._next_path)]
        size, digest, link = 0, None, None
        if flags & _SAME:
            if before is None:
                raise ValueError("an entry refers to one that is not there")
            size, digest = before.size, before.sha256
        if flags & _SIZE:
            size = next(self._next_size)
        if flags & _DIGEST:
            digest = self._digests[_not_negative(next(self._next_digest))]
        if flags & _LINK:
            link = self._texts[next(self._next_link)]
        xattrs = self._xattrs.get(number) or {}
        owner, device = self._owners[columns.owners[number]], self._devices.get(number)
        kind = columns.entry_kinds[number]
        return make_entry(path, kind, owner, size, digest, link, xattrs, device)


def _owner(mode: object, uid: object, gid: object) -> tuple[int, int, int]:
    if isinstance(mode, int) and isinstance(uid, int) and isinstance(gid, int):
        return mode, uid, gid
    raise ValueError("an owner is not three numbers")


def _not_negative(number: int) -> int:
    if number < 0:
        raise ValueError("a negative number")
    return number


def _cut(data: bytes | bytearray, lengths: Iterable[int]) -> list[bytes]:
    """`data` in pieces of these lengths, which must use it up."""
    ends = [0, *accumulate(lengths)]
    if ends[-1] != len(data):
        raise ValueError("wrong length")
    whole = bytes(data)
    return [whole[start:end] for start, end in pairwise(ends)]


def _sections(data: bytes, position: int, count: int) -> Iterator[bytes]:
    """`count` pieces, each after its length, which must use the data up."""
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, position)
        start = position + _LENGTH.size
        position = start + length
        if position > len(data):
            raise ValueError("cut short")
        yield data[start:position]
    if position != len(data):
        raise ValueError("too long")


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(data, _MOST)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("cut short, or far too large")
    return found


def _little(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers
