"""One section of an ELF program that streams by, without keeping the program.

Source: elf(5). What linkers put where: Go's `.go.buildinfo` lies in a writable segment, Cargo's
`.dep-v0` behind the last segment. Only these parts are kept, up to a bound; the section headers, at
the end, say which bytes were meant.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

MAGIC = b"\x7fELF"
MAX_KEPT = 24 << 20  # bytes of one program
_TAIL = 1 << 20  # of it, for the end: section headers and their names
_HEAD = 4096  # the program headers are expected in here
_LOAD, _WRITABLE = 1, 2
_NO_BITS = 8
_MAX_HEADERS = 65_535


class _Layout(NamedTuple):
    header: Struct  # e_phoff, e_shoff, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
    program: Struct
    section: Struct


_LAYOUTS = {
    (2, 1): _Layout(
        Struct("<32xQQ6xHHHHH"), Struct("<II6Q"), Struct("<II4QII2Q")
    ),
    (2, 2): _Layout(
        Struct(">32xQQ6xHHHHH"), Struct(">II6Q"), Struct(">II4QII2Q")
    ),
    (1, 1): _Layout(
        Struct("<28xII6xHHHHH"), Struct("<8I"), Struct("<10I")
    ),
    (1, 2): _Layout(
        Struct(">28xII6xHHHHH"), Struct(">8I"), Struct(">10I")
    ),
}  # fmt: skip


class ElfParts:
    """Takes a program's bytes in order; afterwards `section` finds what was kept of it."""

    __slots__ = ("_at", "_head", "_kept", "_layout", "_ranges", "_size", "_wide")

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0
        self._head = b""
        self._ranges: list[tuple[int, int]] | None = None  # to keep; None: not known yet
        self._kept: list[tuple[int, bytearray]] = []  # where, what; in order
        self._layout: _Layout | None = None
        self._wide = True

    def write(self, piece: bytes | memoryview) -> None:
        """The next bytes."""
        start, self._at = self._at, self._at + len(piece)
        if self._ranges is None:
            self._head += bytes(piece[: _HEAD - len(self._head)])
            if len(self._head) < min(_HEAD, self._size):
                return
            self._ranges = self._wanted()
            self._kept = [(0, bytearray(self._head))]
        for low, high in self._ranges:
            begin, end = max(low, start), min(high, self._at)
            if begin < end:
                self._keep(begin, bytes(piece[begin - start : end - start]))

    def _keep(self, where: int, data: bytes) -> None:
        last, held = self._kept[-1]
        if where <= last + len(held):
            held += data[last + len(held) - where :]
        else:
            self._kept.append((where, bytearray(data)))

    def _wanted(self) -> list[tuple[int, int]]:
        head = self._head
        self._layout = layout = _LAYOUTS.get((head[4], head[5])) if len(head) >= 64 else None
        if layout is None or head[:4] != MAGIC:
            return []
        self._wide = head[4] == 2
        phoff, _, width, count, _, _, _ = layout.header.unpack_from(head)
        loads = []
        for number in range(count):
            at = phoff + number * width
            if width < layout.program.size or at + width > len(head):
                break
            values = layout.program.unpack_from(head, at)
            flags = values[1] if self._wide else values[6]
            offset, length = (values[2], values[5]) if self._wide else (values[1], values[4])
            if values[0] == _LOAD:
                loads.append((offset, min(offset + length, self._size), flags))
        behind = max((end for _, end, _ in loads), default=0)
        tail = max(self._size - _TAIL, behind)
        wanted = [(low, high) for low, high, flags in loads if flags & _WRITABLE]
        return list(_within([*wanted, (behind, tail)], (tail, self._size)))

    def section(self, name: bytes) -> bytes | None:
        """The section's contents; None if there is none, b"" if it was not kept whole."""
        layout = self._layout
        if layout is None:
            return None
        _, shoff, _, _, width, count, names = layout.header.unpack_from(self._head)
        table = self._read(shoff, width * count) if count <= _MAX_HEADERS else None
        if table is None or width < layout.section.size or names >= count:
            return None
        strings = self._contents(layout.section.unpack_from(table, names * width)) or b""
        for number in range(count):
            values = layout.section.unpack_from(table, number * width)
            if strings[values[0] : values[0] + len(name) + 1] == name + b"\0":
                return self._contents(values) or b""
        return None

    def _contents(self, values: tuple[int, ...]) -> bytes | None:
        if values[1] == _NO_BITS:
            return None
        return self._read(values[4], values[5])

    def _read(self, offset: int, length: int) -> bytes | None:
        for where, held in self._kept:
            if where <= offset and offset + length <= where + len(held):
                return bytes(held[offset - where : offset - where + length])
        return None


def _within(wanted: Iterable[tuple[int, int]], tail: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The ranges in order, cut to what may be kept; the tail always."""
    left = MAX_KEPT - _TAIL
    reached = 0
    for low, high in sorted(wanted):
        begin = max(low, reached)
        end = min(high, begin + left)
        if begin < end:
            yield begin, end
            left -= end - begin
            reached = end
    if max(tail[0], reached) < tail[1]:
        yield max(tail[0], reached), tail[1]
