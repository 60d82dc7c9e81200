"""Sparse files in layer tars: where the stored bytes belong, and the file with its holes filled.

Formats: old GNU (type S, map in the header and the blocks behind it), pax 0.0 and 0.1 (map in the
pax header), pax 1.0 (map in front of the data). What Go's archive/tar refuses is refused here.
Source: GNU tar manual, "Storing Sparse Files".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from layerproof.errors import TarError
from layerproof.oci.tarheader import BLOCK, is_gnu, number
from layerproof.oci.tarpax import pax_number

_ZEROS = bytes(1 << 16)
_MAP_BYTES = 1 << 20  # as in Go's archive/tar

Fragments = list[tuple[int, int]]  # where in the file, how many bytes


@dataclass(frozen=True, slots=True)
class SparseMap:
    """How a sparse file is stored. `fragments` is None when the map stands in front of the data."""

    fragments: Fragments | None
    size: int  # with the holes filled
    name: bytes = b""  # the real name, where the format keeps it apart


def is_extended(header: bytes) -> bool:
    """Whether blocks with more of the map follow a type S header."""
    return header[482] != 0


def goes_on(block: bytes) -> bool:
    """Whether another block of the map follows this one."""
    return block[504] != 0


def old_gnu_map(header: bytes, blocks: list[bytes], offset: int) -> SparseMap:
    """The map of a type S header and the blocks behind it."""
    if not is_gnu(header):
        raise TarError("sparse file in a dialect that has none", offset=offset)
    fragments = _binary_map(header[386:482], offset)
    for block in blocks:
        fragments += _binary_map(block[:504], offset)
    return SparseMap(fragments, number(header[483:495], "sparse real size", offset))


def _binary_map(fields: bytes, offset: int) -> Fragments:
    fragments: Fragments = []
    for at in range(0, len(fields), 24):
        if not fields[at]:
            break
        start = number(fields[at : at + 12], "sparse offset", offset)
        length = number(fields[at + 12 : at + 24], "sparse length", offset)
        fragments.append((start, length))
    return fragments


def pax_map(pax: Mapping[str, bytes], stored: int, offset: int) -> SparseMap | None:
    """The map that the pax records of a file state; None for a file that is not sparse."""
    major = pax.get("GNU.sparse.major", b"")
    minor = pax.get("GNU.sparse.minor", b"")
    raw = pax.get("GNU.sparse.map", b"")
    in_front = (major, minor) == (b"1", b"0")
    in_header = (major, minor) in ((b"0", b"0"), (b"0", b"1")) or (not major and not minor and raw)
    if not in_front and not in_header:
        return None
    size = pax_number(pax, "GNU.sparse.size", offset)
    if size is None:
        size = pax_number(pax, "GNU.sparse.realsize", offset)
    fragments = None
    if in_header:
        fragments = _decimal_map(raw.split(b",") if raw else [], offset)
        if pax_number(pax, "GNU.sparse.numblocks", offset) != len(fragments):
            raise TarError("sparse map of another length than stated", offset=offset)
    return SparseMap(fragments, stored if size is None else size, pax.get("GNU.sparse.name", b""))


def _decimal_map(values: list[bytes], offset: int) -> Fragments:
    """Fragments from alternating decimal offsets and lengths."""
    if len(values) % 2 or not all(v.isdigit() and len(v) < 20 for v in values):
        raise TarError("malformed sparse map", offset=offset)
    numbers = [int(v) for v in values]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


class SparseFile:
    """Takes the stored bytes of one sparse file and emits the expanded ones.

    1. Format 1.0 only: the map is read from the first stored blocks.
    2. The map is checked: in order, inside the real size, not larger than what is stored.
    3. `write` takes stored bytes; holes before each fragment are emitted as zeros.
    4. `close` emits the last hole.
    """

    def __init__(
        self,
        sparse: SparseMap,
        stored: int,
        offset: int,
        emit: Callable[[bytes | memoryview], None],
    ) -> None:
        self._offset = offset
        self._size = sparse.size
        self._stored = stored
        self._emit = emit
        self._at = 0  # in the expanded file
        self._fragments: Fragments = []  # still to come, the next one last
        self._map: bytearray | None = None  # the map in front of the data, while incomplete
        self._lines = 0  # newlines in it
        self._wanted_lines = 1  # the first line says how many there are
        if sparse.fragments is None:
            self._map = bytearray()
        else:
            self._use(sparse.fragments)

    def write(self, data: memoryview) -> None:
        """Stored bytes, in order. Raises TarError for a map that does not fit them."""
        while self._map is not None and len(data):
            step = BLOCK - len(self._map) % BLOCK
            self._map += data[:step]
            data = data[step:]
            if len(self._map) % BLOCK == 0:
                self._read_map(self._map)
        while len(data):
            # `_use` made sure that the fragments take exactly what is stored.
            start, length = self._fragments[-1]
            self._fill(start - self._at)
            piece = data[:length]
            self._emit(piece)
            self._at += len(piece)
            data = data[len(piece) :]
            if len(piece) == length:
                self._fragments.pop()
            else:
                self._fragments[-1] = (start + len(piece), length - len(piece))

    def close(self) -> None:
        """All stored bytes were written. Raises TarError when the map is not even complete."""
        if self._map is not None:
            raise TarError("sparse map without an end", offset=self._offset)
        self._fill(self._size - self._at)

    def _read_map(self, blocks: bytearray) -> None:
        """One more block is there: the map ends with the block that holds its last newline."""
        self._lines += blocks.count(b"\n", -BLOCK)
        if self._wanted_lines == 1 and self._lines:
            count = blocks.partition(b"\n")[0]
            if not count.isdigit() or len(count) > 19:
                raise TarError("malformed sparse map", offset=self._offset)
            self._wanted_lines = 1 + 2 * int(count)
        if self._lines >= self._wanted_lines:
            numbers = bytes(blocks).split(b"\n", self._wanted_lines)[1 : self._wanted_lines]
            self._map = None
            self._stored -= len(blocks)
            self._use(_decimal_map(numbers, self._offset))
        elif len(blocks) >= _MAP_BYTES:
            raise TarError("sparse map without an end", offset=self._offset)

    def _use(self, fragments: Fragments) -> None:
        end = 0
        for start, length in fragments:
            if start < end or length < 0:
                raise TarError("sparse map out of order", offset=self._offset)
            end = start + length
        if end > self._size or sum(length for _, length in fragments) != self._stored:
            raise TarError("sparse map that does not fit the file", offset=self._offset)
        self._fragments = [f for f in reversed(fragments) if f[1]]

    def _fill(self, count: int) -> None:
        self._at += max(count, 0)
        while count > 0:
            piece = _ZEROS[:count]
            self._emit(piece)
            count -= len(piece)
