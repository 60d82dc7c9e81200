"""The header blobs of an rpm database, whatever it is kept in. Pure: bytes in, blobs out.

- SQLite (`rpmdb.sqlite`): the table `Packages`, column 2 of each row (sqlite.org/fileformat2.html
  sections 1 and 2); pages of a write-ahead log that was committed replace those of the file.
- NDB (`Packages.db`): rpm, lib/backend/ndb/rpmpkg.c: slots in the first pages, blobs in blocks of
  16.
- Berkeley DB (`Packages`): hash format versions 8 and 9: overflow items of hash pages
  (db-5.3, src/dbinc/db_page.h).

Only these three tables are read, with every number checked: a database that was cut or made up ends
in an UnusableFieldError, after the blobs that could be read.
"""

from collections.abc import Iterator
from struct import Struct, error

from layerproof.analysis.collecting import UnusableFieldError

MAX_PACKAGES = 100_000
_MAX_BLOB = 64 << 20
_SQLITE = b"SQLite format 3\0"
_NDB = b"RpmP"
_U32, _U32B, _U16B = Struct("<I"), Struct(">I"), Struct(">H")
_WAL = (0x377F0682, 0x377F0683)
_MAX_DEPTH = 32


def blobs(data: bytes, wal: bytes = b"") -> Iterator[bytes]:
    """The headers of all packages. Raises UnusableFieldError."""
    try:
        if data[:16] == _SQLITE:
            yield from _Sqlite(data, wal).blobs()
        elif data[:4] == _NDB:
            yield from _ndb(data)
        elif len(data) >= 512:
            yield from _Bdb(data).blobs()
        elif data:
            raise UnusableFieldError("no rpm database: neither SQLite, NDB nor Berkeley DB")
    except (error, IndexError, ValueError) as problem:
        if isinstance(problem, UnusableFieldError):
            raise
        raise UnusableFieldError(f"the rpm database is damaged: {problem}") from problem


# --- SQLite ------------------------------------------------------------------------------------


class _Sqlite:
    def __init__(self, data: bytes, wal: bytes) -> None:
        self._data = data
        size = _U16B.unpack_from(data, 16)[0]
        self._size = 65_536 if size == 1 else size
        if self._size < 512 or self._size & (self._size - 1):
            raise UnusableFieldError(f"a page size of {self._size} bytes")
        self._usable = self._size - data[20]
        self._newer = _committed(wal, self._size) if wal else {}
        self._seen = 0

    def blobs(self) -> Iterator[bytes]:
        root = None
        for record in self._rows(1, 0):
            values = _values(record, 5)
            if values[0] == b"table" and values[1] == b"Packages":
                root = int.from_bytes(values[3], "big")
        if root is None:
            raise UnusableFieldError("the SQLite file has no table Packages")
        for count, record in enumerate(self._rows(root, 0)):
            if count >= MAX_PACKAGES:
                raise UnusableFieldError(f"more than {MAX_PACKAGES} packages")
            yield _values(record, 2)[1]

    def _page(self, number: int) -> bytes:
        if number in self._newer:
            return self._newer[number]
        start = (number - 1) * self._size
        page = self._data[start : start + self._size]
        if number < 1 or len(page) < self._size:
            raise UnusableFieldError(f"the SQLite file is cut: it has no page {number}")
        return page

    def _rows(self, number: int, depth: int) -> Iterator[bytes]:
        """The records of a table, by its root page."""
        self._seen += 1
        # a page is in one tree and once: more visits than pages are a circle
        if depth > _MAX_DEPTH or self._seen > len(self._data) // self._size + len(self._newer) + 1:
            raise UnusableFieldError("the pages of the SQLite file lead in a circle")
        page = self._page(number)
        head = 100 if number == 1 else 0
        kind, cells = page[head], _U16B.unpack_from(page, head + 3)[0]
        if kind == 13:
            for cell in range(cells):
                at = _U16B.unpack_from(page, head + 8 + 2 * cell)[0]
                yield self._record(page, at)
        elif kind == 5:
            for cell in range(cells):
                at = _U16B.unpack_from(page, head + 12 + 2 * cell)[0]
                yield from self._rows(_U32B.unpack_from(page, at)[0], depth + 1)
            yield from self._rows(_U32B.unpack_from(page, head + 8)[0], depth + 1)
        else:
            raise UnusableFieldError(f"page {number} of the SQLite file is no table")

    def _record(self, page: bytes, at: int) -> bytes:
        length, at = _varint(page, at)
        _, at = _varint(page, at)  # the row's number
        if length > _MAX_BLOB:
            raise UnusableFieldError(f"a package of {length} bytes")
        most = self._usable - 35
        if length <= most:
            return page[at : at + length]
        least = (self._usable - 12) * 32 // 255 - 23
        held = least + (length - least) % (self._usable - 4)
        held = held if held <= most else least
        pieces = [page[at : at + held]]
        follows, left = _U32B.unpack_from(page, at + held)[0], length - held
        while left > 0:
            overflow = self._page(follows)
            pieces.append(overflow[4 : 4 + min(left, self._usable - 4)])
            left -= self._usable - 4
            follows = _U32B.unpack_from(overflow)[0]
        return b"".join(pieces)


def _committed(wal: bytes, size: int) -> dict[int, bytes]:
    """The pages of a write-ahead log up to its last commit (section 4)."""
    if len(wal) < 32 or _U32B.unpack_from(wal)[0] not in _WAL:
        return {}
    salt = wal[16:24]
    found: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    for at in range(32, len(wal) - 24 - size + 1, 24 + size):
        number, commit = _U32B.unpack_from(wal, at)[0], _U32B.unpack_from(wal, at + 4)[0]
        if wal[at + 8 : at + 16] != salt:
            break
        waiting[number] = wal[at + 24 : at + 24 + size]
        if commit:
            found |= waiting
            waiting = {}
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(9):
        byte = data[at + count]
        if count == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at + count + 1
    raise UnusableFieldError("unreachable")


_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)


def _values(record: bytes, count: int) -> list[bytes]:
    """The first columns of a record, raw."""
    length, at = _varint(record, 0)
    place = length
    found: list[bytes] = []
    while at < length and len(found) < count:
        kind, at = _varint(record, at)
        size = (kind - 12) // 2 if kind >= 12 else _SIZES[kind]
        found.append(record[place : place + size] if kind != 9 else b"\x01")
        place += size
    if len(found) < count or place > len(record):
        raise UnusableFieldError("a row of the SQLite file is cut")
    return found


# --- NDB ---------------------------------------------------------------------------------------


def _ndb(data: bytes) -> Iterator[bytes]:
    pages = _U32.unpack_from(data, 12)[0]
    if not 0 < pages <= len(data) // 4096:
        raise UnusableFieldError(f"an NDB file with {pages} pages of slots is cut")
    count = 0
    for at in range(32, pages * 4096, 16):
        magic, number, offset, blocks = Struct("<4sIII").unpack_from(data, at)
        if magic != b"Slot" or not number:
            continue
        count += 1
        if count > MAX_PACKAGES:
            raise UnusableFieldError(f"more than {MAX_PACKAGES} packages")
        start = offset * 16
        head = Struct("<4sIII")
        if start + 16 > len(data):
            raise UnusableFieldError("the NDB file is cut")
        magic, own, _, length = head.unpack_from(data, start)
        if magic != b"BlbS" or own != number or length > 16 * blocks:
            raise UnusableFieldError("a slot of the NDB file leads to no package")
        if start + 16 + length > len(data):
            raise UnusableFieldError("the NDB file is cut")
        yield data[start + 16 : start + 16 + length]


# --- Berkeley DB -------------------------------------------------------------------------------

_HASH_MAGIC = 0x061561
_HASH_UNSORTED, _HASH, _OVERFLOW = 2, 13, 7
_OFF_PAGE = 3
_HEAD = 26


class _Bdb:
    def __init__(self, data: bytes) -> None:
        self._data = data
        for order in ("<", ">"):
            self._u16, self._u32 = Struct(order + "H"), Struct(order + "I")
            if self._u32.unpack_from(data, 12)[0] == _HASH_MAGIC:
                break
        else:
            raise UnusableFieldError("no rpm database: neither SQLite, NDB nor Berkeley DB")
        version = self._u32.unpack_from(data, 16)[0]
        if not 7 <= version <= 10:
            raise UnusableFieldError(f"a Berkeley DB of version {version}")
        self._size = self._u32.unpack_from(data, 20)[0]
        if not 512 <= self._size <= 65_536 or self._size & (self._size - 1):
            raise UnusableFieldError(f"a page size of {self._size} bytes")
        self._last = self._u32.unpack_from(data, 32)[0]

    def blobs(self) -> Iterator[bytes]:
        count = 0
        if (self._last + 1) * self._size > len(self._data):
            raise UnusableFieldError("the Berkeley DB is cut")
        for number in range(1, self._last + 1):
            page = self._page(number)
            if page[25] not in (_HASH, _HASH_UNSORTED):
                continue
            entries = self._u16.unpack_from(page, 20)[0]
            for entry in range(1, entries, 2):  # keys and values in turns
                at = self._u16.unpack_from(page, _HEAD + 2 * entry)[0]
                if page[at] != _OFF_PAGE:
                    continue  # small: the counter of packages
                count += 1
                if count > MAX_PACKAGES:
                    raise UnusableFieldError(f"more than {MAX_PACKAGES} packages")
                yield self._value(*Struct(self._u32.format + "I").unpack_from(page, at + 4))

    def _page(self, number: int) -> bytes:
        page = self._data[number * self._size : (number + 1) * self._size]
        if len(page) < self._size:
            raise UnusableFieldError(f"the Berkeley DB is cut: it has no page {number}")
        return page

    def _value(self, number: int, length: int) -> bytes:
        if length > _MAX_BLOB:
            raise UnusableFieldError(f"a package of {length} bytes")
        pieces: list[bytes] = []
        left = length
        while number and left > 0:
            page = self._page(number)
            if page[25] != _OVERFLOW:
                raise UnusableFieldError("a package of the Berkeley DB leads nowhere")
            held = self._u16.unpack_from(page, 22)[0]
            if not 0 < held <= self._size - _HEAD:
                raise UnusableFieldError("a page of the Berkeley DB holds nothing")
            pieces.append(page[_HEAD : _HEAD + held])
            left -= held
            number = self._u32.unpack_from(page, 16)[0]
        if left > 0:
            raise UnusableFieldError("a package of the Berkeley DB is cut")
        return b"".join(pieces)[:length]
