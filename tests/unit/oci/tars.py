"""Tars made byte by byte, and the walker run over them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from layerproof.errors import LayerproofError
from layerproof.model.entry import Entry
from layerproof.oci.limits import Limits
from layerproof.oci.tar import TarWalker

USTAR = b"ustar\x0000"
GNU = b"ustar  \x00"
V7 = bytes(8)
END = bytes(1024)


def octal(value: int, width: int) -> bytes:
    return b"%0*o\x00" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    """GNU's binary form: the top bit set, two's complement below it."""
    bits = 8 * width
    return ((value & ((1 << bits) - 1)) | (1 << (bits - 1))).to_bytes(width, "big")


def seal(block: bytes, *, signed: bool = False) -> bytes:
    """The block with the right checksum."""
    block = block[:148] + b" " * 8 + block[156:]
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in block)
    return block[:148] + b"%06o\x00 " % total + block[156:]


def header(
    name: bytes = b"a",
    kind: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 0,
    link: bytes = b"",
    magic: bytes = USTAR,
    device: tuple[int | bytes, int | bytes] = (0, 0),
    tail: bytes = b"",  # from offset 345: the prefix, or what a dialect has there
) -> bytes:
    """One sealed header block; numbers may be given as raw fields."""

    def number(value: int | bytes, width: int) -> bytes:
        return value.ljust(width, b"\x00") if isinstance(value, bytes) else octal(value, width)

    block = b"".join(
        (
            name.ljust(100, b"\x00"),
            number(mode, 8),
            number(uid, 8),
            number(gid, 8),
            number(size, 12),
            number(mtime, 12),
            b" " * 8,
            kind,
            link.ljust(100, b"\x00"),
            magic,
            bytes(64),
            number(device[0], 8) if magic != V7 else bytes(8),
            number(device[1], 8) if magic != V7 else bytes(8),
            tail.ljust(167, b"\x00"),
        )
    )
    assert len(block) == 512
    return seal(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes = b"a", data: bytes = b"", kind: bytes = b"0", **fields: Any) -> bytes:
    """Header and data."""
    return header(name, kind, **{"size": len(data), **fields}) + padded(data)


def record(key: bytes, value: bytes) -> bytes:
    """One pax record, its length counted in."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d" % length + rest


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header."""
    return raw_pax(b"".join(record(key, value) for key, value in records), kind)


def raw_pax(data: bytes, kind: bytes = b"x") -> bytes:
    return member(b"PaxHeaders/a", data, kind)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """A GNU long name (`K`: long link)."""
    return member(b"././@LongLink", name + b"\x00", kind, magic=GNU)


@dataclass
class Wishes:
    """Who wants what; everything that a look-up names is wanted by 1."""

    names: frozenset[bytes] = frozenset()
    folders: frozenset[bytes] = frozenset()
    paths: frozenset[bytes] = frozenset()
    suffixes: tuple[bytes, ...] = ()
    sources: tuple[bytes, ...] = ()
    magics: Mapping[bytes, tuple[int, ...]] = field(default_factory=dict)
    sections: Mapping[bytes, tuple[int, ...]] = field(default_factory=dict)

    def match(self, path: bytes) -> tuple[int, ...]:
        return (1,)

    def searched(self, folder: bytes) -> bool:
        return True

    def checked(self, folder: bytes) -> bool:
        return len(folder) % 2 == 1


@dataclass
class Walked:
    """What came out."""

    walker: TarWalker
    delivered: list[tuple[tuple[int, ...], bytes, int, bytes]]
    error: LayerproofError | None

    @property
    def entries(self) -> list[Entry]:
        return list(self.walker.entries)

    @property
    def outcome(self) -> object:
        """All of it, in a form that compares."""
        w = self.walker
        if self.error is not None:
            return type(self.error), str(self.error)
        return self.entries, self.delivered, w.notes, w.too_large, w.file_bytes


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def attempt(
    chunks: Iterable[bytes], *, wishes: Wishes | None = None, limits: Limits | None = None
) -> Walked:
    """Walk; a LayerproofError is part of the result, any other exception is a failed test."""
    delivered: list[tuple[tuple[int, ...], bytes, int, bytes]] = []
    walker = TarWalker(wishes or Wishes(), lambda *args: delivered.append(args), limits or Limits())
    error = None
    try:
        for chunk in chunks:
            walker.feed(chunk)
        walker.close()
    except LayerproofError as caught:
        error = caught
    return Walked(walker, delivered, error)


def walk(
    tar: bytes,
    *,
    chunk: int = 1 << 18,
    wishes: Wishes | None = None,
    limits: Limits | None = None,
) -> Walked:
    """Walk; raises what the walker raises."""
    walked = attempt(pieces(tar, chunk), wishes=wishes, limits=limits)
    if walked.error is not None:
        raise walked.error
    return walked


def entries(tar: bytes, **options: Any) -> list[Entry]:
    return walk(tar, **options).entries


def only(tar: bytes, **options: Any) -> Entry:
    """The one entry of a tar without its end blocks, whole and byte by byte."""
    found = entries(tar + END, **options)
    assert entries(tar + END, chunk=1) == found
    assert len(found) == 1
    return found[0]
