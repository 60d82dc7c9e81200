"""Sparse files in layer tars: where the stored bytes belong, and the file with its holes filled.

Formats: old GNU (type S, map in the header), pax 0.0 and 0.1 (map in the pax header), pax 1.0
(map in front of the data). Source: GNU tar manual, "Storing Sparse Files".
"""

from collections.abc import Callable
from hashlib import sha256

from layerproof.errors import LimitExceededError, TarError
from layerproof.oci.limits import Limits
from layerproof.oci.tarheader import BLOCK, number

_ZEROS = bytes(1 << 16)
_MOST_FRAGMENTS = 100_000
_MAP_BYTES = 4 << 20

Fragments = list[tuple[int, int]]


def old_gnu_map(header: bytes, extensions: bytes, offset: int) -> tuple[Fragments, int]:
    """Fragments and real size of a type S header with its extension blocks."""
    fields = [(header, 386, 4)]
    fields += [(extensions, start, 21) for start in range(0, len(extensions), BLOCK)]
    fragments: Fragments = []
    for block, start, count in fields:
        for at in range(start, start + 24 * count, 24):
            if not block[at] or not block[at + 12]:
                break
            fragments.append(
                (
                    number(block[at : at + 12], "sparse offset", offset),
                    number(block[at + 12 : at + 24], "sparse length", offset),
                )
            )
    return fragments, number(header[483:495], "sparse real size", offset)


def decimal_map(values: list[bytes], offset: int) -> Fragments:
    """Fragments from alternating decimal offsets and lengths."""
    if len(values) % 2 or not all(v.isdigit() and len(v) < 20 for v in values):
        raise TarError("malformed sparse map", offset=offset)
    numbers = [int(v) for v in values]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


class SparseFile:
    """Takes the stored bytes of one sparse file, hands out the expanded ones for hashing.

    1. pax 1.0 only: the map is read from the first stored blocks.
    2. The map is checked: ordered, inside the real size, not larger than what is stored.
    3. `write` feeds stored bytes; holes before each fragment are filled with zeros.
    4. `close` fills the last hole.
    """

    def __init__(
        self,
        fragments: Fragments | None,
        size: int,
        stored: int,
        offset: int,
        limits: Limits,
        keep: Callable[[bytes | memoryview], None] | None = None,
    ) -> None:
        self._offset = offset
        self._size = size
        self._stored = stored
        self._hash = sha256()
        self._keep = keep
        self._at = 0  # in the expanded file
        self._pending = b""  # the map of pax 1.0, while it is incomplete
        self._fragments: Fragments = []
        self._has_map = fragments is not None
        if size > limits.sparse_bytes:
            raise LimitExceededError(
                f"sparse file of {size} bytes, more than {limits.sparse_bytes} (at offset {offset})",
                limit="sparse_bytes",
            )
        if fragments is not None:
            self._use(fragments)

    def write(self, data: bytes | memoryview) -> None:
        """Stored bytes, in order. Raises TarError for a map that does not fit them."""
        if not self._has_map:
            data = self._read_map(bytes(data))
        while len(data):
            if not self._fragments:
                raise TarError("sparse file with more data than its map", offset=self._offset)
            start, length = self._fragments[-1]
            self._fill(start - self._at)
            piece = data[:length]
            self._emit(piece)
            data = data[len(piece) :]
            if len(piece) == length:
                self._fragments.pop()
            else:
                self._fragments[-1] = (start + len(piece), length - len(piece))

    def close(self) -> bytes:
        """The sha256 of the expanded file."""
        if not self._has_map or self._fragments:
            raise TarError("sparse file with less data than its map", offset=self._offset)
        self._fill(self._size - self._at)
        return self._hash.digest()

    def _read_map(self, data: bytes) -> bytes:
        self._pending += data
        lines = self._pending.split(b"\n")
        if len(self._pending) > _MAP_BYTES:
            raise TarError("sparse map without an end", offset=self._offset)
        if len(lines) < 2:
            return b""
        count = int(lines[0]) if lines[0].isdigit() and len(lines[0]) < 8 else -1
        if not 0 <= count <= _MOST_FRAGMENTS:
            raise TarError("malformed sparse map", offset=self._offset)
        used = sum(len(line) + 1 for line in lines[: 1 + 2 * count])
        used += -used % BLOCK
        if len(lines) < 2 + 2 * count or len(self._pending) < used:
            return b""
        rest = self._pending[used:]
        self._pending = b""
        self._stored -= used
        self._has_map = True
        self._use(decimal_map(lines[1 : 1 + 2 * count], self._offset))
        return rest

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
        while count > 0:
            piece = _ZEROS[:count]
            self._emit(piece)
            count -= len(piece)

    def _emit(self, piece: bytes | memoryview) -> None:
        self._hash.update(piece)
        self._at += len(piece)
        if self._keep:
            self._keep(piece)
