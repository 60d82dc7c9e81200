"""An entry table as one compact blob, and back. Columns, because equal columns compress well.

Layout (little endian): magic `LPE2`; then sections, each a uint32 length and that many bytes:

1. zstd of: entry count (uint32) · kinds (1 byte each) · distinct owners (count, then mode uint16,
   uid int64, gid int64 each) · owner numbers (uint32 each) · sizes (uint64 each) · paths joined by
   NUL (a path cannot hold one)
2. the sha256 of regular files, 32 bytes each in entry order: as they are, they do not compress
3. zstd of a JSON object with what is rare: links, xattrs, devices, by entry index
4. zstd of the indexes (uint32) of files with an MD5 and a SHA-1
5. these, 36 bytes each

Our own format for our own data: a blob that does not decode is a damaged index, not an attack.
"""

import struct
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice

from layerproof.errors import IndexUnavailableError
from layerproof.model.entry import FILE, Entry, EntryTable
from layerproof.oci.digests import CHECK_BYTES

_MAGIC = b"LPE2"
_OWNER = struct.Struct("<Hqq")
_LENGTH = struct.Struct("<I")
_SIZE = struct.Struct("<Q")
# what unpacking columns and JSON of another shape raises
_DAMAGE = (ValueError, TypeError, AttributeError, LookupError, OverflowError, struct.error)


def encode(table: EntryTable) -> bytes:
    """The blob for `table`."""
    from layerproof.oci.zstd import pack  # because reading it needs no encoder

    owners: dict[tuple[int, int, int], int] = {}
    numbers = array("I", [owners.setdefault(owner, len(owners)) for owner in table.owners])
    columns = b"".join(
        (
            _LENGTH.pack(len(table)),
            bytes(table.kinds),
            _LENGTH.pack(len(owners)),
            *(_OWNER.pack(*owner) for owner in owners),
            _little(numbers).tobytes(),
            _little(table.sizes).tobytes(),
            b"\x00".join(table.paths),
        )
    )
    sections = (
        pack(columns),
        _file_digests(table),
        pack(_rare(table)),
        pack(_little(table.checked).tobytes()),
        bytes(table.checks),
    )
    return _MAGIC + b"".join(_LENGTH.pack(len(s)) + s for s in sections)


def decode(blob: bytes) -> EntryTable:
    """The table. Raises IndexUnavailableError for a blob that `encode` did not write."""
    from layerproof.oci.zstd import ZstdError, unpack

    try:
        packed, digests, rare, checked, checks = _sections(blob)
        table = _columns(unpack(packed))
        _spread_digests(table, digests)
        _read_rare(table, unpack(rare))
        _read_checks(table, unpack(checked), checks)
    except (ZstdError, *_DAMAGE) as error:
        raise _damaged(error) from error
    return table


def entries_at(blob: bytes, path: bytes) -> tuple[Entry, ...]:
    """The entries at exactly this path. Raises IndexUnavailableError."""
    return _some(blob, lambda packed: packed.at_path(path))


def entries_with(blob: bytes, sha256: bytes) -> tuple[Entry, ...]:
    """The regular files with these contents. Raises IndexUnavailableError."""
    return _some(blob, lambda packed: packed.with_digest(sha256))


def _some(blob: bytes, choose: Callable[["_Packed"], Iterable[Entry]]) -> tuple[Entry, ...]:
    if not blob:
        return ()  # contents that went in the meantime
    from layerproof.oci.zstd import ZstdError

    try:
        return tuple(choose(_Packed(blob)))
    except (ZstdError, *_DAMAGE) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> IndexUnavailableError:
    return IndexUnavailableError(
        f"the entries of a layer do not decode: {error}",
        remedy="the index is damaged: restore it, or delete it and index again",
    )


class _Packed:
    """A blob of which a few entries are wanted: columns stay bytes, and nothing is spread out."""

    def __init__(self, blob: bytes) -> None:
        from layerproof.oci.zstd import unpack

        packed, self._digests, rare, _, _ = _sections(blob)
        data = unpack(packed)
        (count,) = _LENGTH.unpack_from(data, 0)
        (distinct,) = _LENGTH.unpack_from(data, 4 + count)
        self._data = data
        self._rare_section = rare
        self._kinds = data[4 : 4 + count]
        self._owners = 8 + count
        self._numbers = self._owners + distinct * _OWNER.size
        self._distinct = distinct
        self._sizes = self._numbers + 4 * count
        # between two separators each, and so found in one go
        self._paths = b"\x00%b\x00" % data[self._sizes + 8 * count :] if count else b""
        separators = self._paths.count(b"\x00")
        if len(self._kinds) != count or separators != (count + 1 if count else 0):
            raise ValueError("columns of different length")
        if len(self._digests) != 32 * self._kinds.count(FILE):
            raise ValueError("digests of different length")

    def at_path(self, path: bytes) -> Iterator[Entry]:
        """The entries with this path."""
        sought = b"\x00%b\x00" % path
        at = -1 if b"\x00" in path else self._paths.find(sought)
        while at >= 0:
            yield self._entry(self._paths.count(b"\x00", 0, at), path)
            at = self._paths.find(sought, at + 1 + len(path))

    def with_digest(self, sha256: bytes) -> Iterator[Entry]:
        """The files with this digest."""
        at = self._digests.find(sha256)
        while at >= 0:
            if at % 32 == 0:
                place = self._place(at // 32)
                yield self._entry(place, self._paths.split(b"\x00", place + 2)[place + 1])
            at = self._digests.find(sha256, at + 1)

    def _place(self, file: int) -> int:
        """Of the file with this number among the files."""
        return next(islice((n for n, kind in enumerate(self._kinds) if kind == FILE), file, None))

    def _entry(self, place: int, path: bytes) -> Entry:
        """As `EntryTable.entry`."""
        kind = self._kinds[place]
        (number,) = _LENGTH.unpack_from(self._data, self._numbers + 4 * place)
        if number >= self._distinct:
            raise ValueError("an owner that is not there")
        mode, uid, gid = _OWNER.unpack_from(self._data, self._owners + _OWNER.size * number)
        (size,) = _SIZE.unpack_from(self._data, self._sizes + 8 * place)
        before = 32 * self._kinds.count(FILE, 0, place)
        rare = self._rare
        return Entry(
            path=path,
            kind=kind,
            mode=mode,
            uid=uid,
            gid=gid,
            size=size,
            sha256=self._digests[before : before + 32] if kind == FILE else None,
            link=rare.links.get(place),
            xattrs=rare.xattrs.get(place, {}),
            device=rare.devices.get(place),
        )

    @cached_property
    def _rare(self) -> EntryTable:
        """Links, xattrs and devices only."""
        from layerproof.oci.zstd import unpack

        table = EntryTable()
        _read_rare(table, unpack(self._rare_section))
        return table


def _sections(blob: bytes) -> list[bytes]:
    if blob[:4] != _MAGIC:
        raise ValueError("unknown format")
    found = []
    position = 4
    for _ in range(5):
        (length,) = _LENGTH.unpack_from(blob, position)
        position += 4
        found.append(blob[position : position + length])
        position += length
    if position != len(blob):
        raise ValueError("wrong length")
    return found


def _columns(data: bytes) -> EntryTable:
    (count,) = _LENGTH.unpack_from(data, 0)
    position = 4
    table = EntryTable(kinds=bytearray(data[position : position + count]))
    position += count
    (distinct,) = _LENGTH.unpack_from(data, position)
    position += 4
    stop = position + distinct * _OWNER.size
    owners = [(m, u, g) for m, u, g in _OWNER.iter_unpack(data[position:stop])]
    position = stop
    numbers = array("I")
    numbers.frombytes(data[position : position + 4 * count])
    position += 4 * count
    table.owners = [owners[number] for number in _little(numbers)]
    sizes = array("Q")
    sizes.frombytes(data[position : position + 8 * count])
    table.sizes = _little(sizes)
    position += 8 * count
    if count:
        table.paths = data[position:].split(b"\x00")
    if not len(table.paths) == len(table.kinds) == len(table.owners) == len(table.sizes) == count:
        raise ValueError("columns of different length")
    return table


def _file_digests(table: EntryTable) -> bytes:
    """The digests column without the empty places of entries that are no files."""
    return b"".join(
        bytes(table.digests[32 * start : 32 * stop]) for start, stop in _file_runs(table.kinds)
    )


def _spread_digests(table: EntryTable, digests: bytes) -> None:
    column = bytearray(32 * len(table))
    at = 0
    for start, stop in _file_runs(table.kinds):
        length = 32 * (stop - start)
        column[32 * start : 32 * stop] = digests[at : at + length]
        at += length
    if at != len(digests) or len(column) != 32 * len(table):
        raise ValueError("digests of different length")
    table.digests = column


def _file_runs(kinds: bytearray) -> list[tuple[int, int]]:
    """Half-open ranges of consecutive regular files: far fewer than files."""
    runs = []
    files = bytes(kinds).translate(bytes(1 if kind == FILE else 0 for kind in range(256)))
    start = files.find(1)
    while start >= 0:
        stop = files.find(0, start)
        stop = len(files) if stop < 0 else stop
        runs.append((start, stop))
        start = files.find(1, stop)
    return runs


def _rare(table: EntryTable) -> bytes:
    import json  # because only reading and writing whole tables needs it

    return json.dumps(
        {
            "links": {str(i): link.decode("latin-1") for i, link in table.links.items()},
            "xattrs": {
                str(i): {name: b64encode(value).decode() for name, value in attributes.items()}
                for i, attributes in table.xattrs.items()
            },
            "devices": {str(i): list(device) for i, device in table.devices.items()},
        },
        separators=(",", ":"),
    ).encode()


def _read_rare(table: EntryTable, data: bytes) -> None:
    import json  # see `_rare`

    rare = json.loads(data)
    table.links = {int(i): link.encode("latin-1") for i, link in rare["links"].items()}
    table.xattrs = {
        int(i): {name: b64decode(value, validate=True) for name, value in attributes.items()}
        for i, attributes in rare["xattrs"].items()
    }
    table.devices = {int(i): (major, minor) for i, (major, minor) in rare["devices"].items()}


def _read_checks(table: EntryTable, checked: bytes, checks: bytes) -> None:
    indexes = array("I")
    indexes.frombytes(checked)
    table.checked = _little(indexes)
    if len(checks) != CHECK_BYTES * len(indexes):
        raise ValueError("checks of different length")
    table.checks = bytearray(checks)


def _little(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":  # pragma: no cover
        numbers = array(numbers.typecode, numbers)
        numbers.byteswap()
    return numbers


def path_filter(table: EntryTable) -> bytes:
    """Sorted little-endian uint32: the crc32 of every path (see `model.contents.Contents`)."""
    return filter_of(table.paths)


def filter_of(paths: Iterable[bytes]) -> bytes:
    """The same for any paths."""
    from zlib import crc32

    return _little(array("I", sorted(set(map(crc32, paths))))).tobytes()


def file_filter(table: EntryTable) -> bytes:
    """Sorted little-endian uint32: the first four bytes of every file's sha256."""
    digests = _file_digests(table)
    firsts = array("I")
    firsts.frombytes(digests)
    return _little(array("I", sorted(set(_little(firsts)[::8])))).tobytes()
