"""Sparse files in their four formats: expanded contents, maps that lie."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from tests.unit.oci.tars import (
    END,
    GNU,
    USTAR,
    Wishes,
    base256,
    entries,
    header,
    member,
    octal,
    only,
    padded,
    pax,
    walk,
)

from layerproof.errors import TarError
from layerproof.model.entry import Entry

Fragments = list[tuple[int, int]]
Writer = Callable[..., bytes]
SIZE = 2000
MAP: Fragments = [(3, 4), (512, 600), (1500, 1), (1999, 1)]
STORED = bytes(range(1, 256)) * 3


def expanded(fragments: Fragments = MAP, size: int = SIZE) -> bytes:
    contents = bytearray(size)
    at = 0
    for start, length in fragments:
        contents[start : start + length] = STORED[at : at + length]
        at += length
    return bytes(contents)


def stored(fragments: Fragments) -> bytes:
    return STORED[: sum(length for _, length in fragments)]


def cell(start: int, length: int) -> bytes:
    return octal(start, 12) + octal(length, 12)


def old_gnu(fragments: Fragments = MAP, size: int = SIZE, *, data: bytes | None = None) -> bytes:
    """Four fragments in the header, twenty-one in each block behind it."""
    data = stored(fragments) if data is None else data
    cells = [cell(*fragment) for fragment in fragments]
    head, rest = cells[:4], cells[4:]
    blocks = [rest[at : at + 21] for at in range(0, len(rest), 21)]
    tail = bytes(41) + b"".join(head).ljust(96, b"\x00") + bytes([bool(blocks)]) + octal(size, 12)
    tar = header(b"s", b"S", size=len(data), magic=GNU, tail=tail)
    for number, block in enumerate(blocks, 1):
        tar += (b"".join(block).ljust(504, b"\x00") + bytes([number < len(blocks)])).ljust(
            512, b"\x00"
        )
    return tar + padded(data)


def pax_00(fragments: Fragments = MAP, size: int = SIZE, *, data: bytes | None = None) -> bytes:
    records = [
        (b"GNU.sparse.size", b"%d" % size),
        (b"GNU.sparse.numblocks", b"%d" % len(fragments)),
    ]
    for start, length in fragments:
        records += [(b"GNU.sparse.offset", b"%d" % start), (b"GNU.sparse.numbytes", b"%d" % length)]
    return pax(*records) + member(b"s", stored(fragments) if data is None else data)


def pax_01(fragments: Fragments = MAP, size: int = SIZE, *, data: bytes | None = None) -> bytes:
    numbers = b",".join(b"%d,%d" % fragment for fragment in fragments)
    records = [
        (b"GNU.sparse.size", b"%d" % size),
        (b"GNU.sparse.numblocks", b"%d" % len(fragments)),
        (b"GNU.sparse.name", b"s"),
        (b"GNU.sparse.map", numbers),
    ]
    return pax(*records) + member(b"GNUSparseFile.1/s", stored(fragments) if data is None else data)


def pax_10(fragments: Fragments = MAP, size: int = SIZE, *, data: bytes | None = None) -> bytes:
    numbers = b"".join(b"%d\n%d\n" % fragment for fragment in fragments)
    front = padded(b"%d\n" % len(fragments) + numbers)
    return raw_10(front, stored(fragments) if data is None else data, size)


def raw_10(front: bytes, data: bytes, size: int = SIZE) -> bytes:
    records = [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"s"),
        (b"GNU.sparse.realsize", b"%d" % size),
    ]
    return pax(*records) + member(b"GNUSparseFile.1/s", front + data)


FORMATS = [old_gnu, pax_00, pax_01, pax_10]
MANY = [(1 + 3 * at, 1) for at in range(200)]


def digest(entry: Entry) -> tuple[bytes, int, bytes | None]:
    return entry.path, entry.size, entry.sha256


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize(
    "fragments", [MAP, MANY, [(0, SIZE // 4)], [(SIZE - 1, 1)], [(SIZE, 0)], []]
)
def test_sparse_file_is_hashed_as_it_will_stand(write: Writer, fragments: Fragments) -> None:
    if not fragments and write in (pax_00, pax_01):
        return  # an empty map of these formats is no map at all (Go's archive/tar)
    entry = only(write(fragments))
    assert digest(entry) == (b"s", SIZE, sha256(expanded(fragments)).digest())


@pytest.mark.parametrize("write", FORMATS)
def test_what_follows_a_sparse_file_is_read(write: Writer) -> None:
    found = entries(write() + member(b"next", b"1") + END)
    assert [e.path for e in found] == [b"s", b"next"]
    assert found[1].size == 1


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("size", [1, 700, 1 << 18])
def test_wanted_sparse_file_is_delivered_expanded(write: Writer, size: int) -> None:
    wishes = Wishes(paths=frozenset({b"s"}), magics={b"\x00\x00": (2,)})
    walked = walk(write() + END, wishes=wishes, chunk=size)
    contents = expanded()
    assert walked.delivered == [((2,), b"s", 0, contents[:512]), ((1,), b"s", 0, contents)]
    assert walked.walker.file_bytes == SIZE


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize(
    ("fragments", "why"),
    [
        ([(10, 5), (0, 5)], "out of order"),
        ([(0, 5), (4, 5)], "out of order"),
        ([(SIZE - 1, 2)], "does not fit"),
        ([(SIZE + 1, 0)], "does not fit"),
        ([(2**30, 1)], "does not fit"),
    ],
)
def test_map_that_lies_is_refused(write: Writer, fragments: Fragments, why: str) -> None:
    with pytest.raises(TarError, match=rf"{why}.* \(at offset 512\)|{why}.* \(at offset 1536\)"):
        walk(member(b"before") + write(fragments) + END)


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("data", [b"", STORED[:605], STORED[:607], STORED])
def test_map_of_more_or_less_than_what_is_stored_is_refused(write: Writer, data: bytes) -> None:
    with pytest.raises(TarError, match="does not fit the file"):
        walk(write(data=data) + END)


@pytest.mark.parametrize("write", FORMATS)
def test_cut_inside_a_sparse_file_is_refused(write: Writer) -> None:
    tar = write()
    for length in range(513, len(tar) - 511, 7):
        with pytest.raises(TarError):
            walk(tar[:length])


# --- old GNU -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [base256(-1, 12), b"z" + bytes(11)])
def test_negative_or_malformed_offset_in_a_binary_map_is_refused(value: bytes) -> None:
    tail = bytes(41) + value + octal(1, 12) + bytes(73) + octal(10, 12)
    with pytest.raises(TarError):
        walk(header(b"s", b"S", size=1, magic=GNU, tail=tail) + padded(b"x") + END)


def test_negative_real_size_is_refused() -> None:
    tail = bytes(138) + base256(-1, 12)
    with pytest.raises(TarError, match="does not fit"):
        walk(header(b"s", b"S", magic=GNU, tail=tail) + END)


def test_empty_length_does_not_end_a_binary_map() -> None:
    """Only an empty offset does, as in Go's archive/tar."""
    tail = bytes(41) + octal(0, 12) + bytes(12) + cell(5, 1) + bytes(49) + octal(10, 12)
    entry = only(header(b"s", b"S", size=1, magic=GNU, tail=tail) + padded(b"x"))
    assert entry.sha256 == sha256(bytes(5) + b"x" + bytes(4)).digest()


def test_map_blocks_may_be_empty() -> None:
    tail = bytes(41) + cell(5, 1) + bytes(72) + b"\x01" + octal(10, 12)
    tar = header(b"s", b"S", size=1, magic=GNU, tail=tail) + bytes(512) + padded(b"x")
    assert only(tar).sha256 == sha256(bytes(5) + b"x" + bytes(4)).digest()


def test_type_s_outside_the_gnu_dialect_is_refused() -> None:
    """star has the same letter for another layout."""
    with pytest.raises(TarError, match="sparse file in a dialect that has none"):
        walk(header(b"s", b"S", magic=USTAR) + END)


def test_endless_map_blocks_are_refused() -> None:
    tail = bytes(137) + b"\x01" + octal(0, 12)
    block = bytes(504) + b"\x01" + bytes(7)
    tar = header(b"s", b"S", magic=GNU, tail=tail) + block * 2050
    with pytest.raises(TarError, match=r"sparse map without an end \(at offset 0\)"):
        walk(tar)


def test_cut_inside_map_blocks_is_refused() -> None:
    tail = bytes(137) + b"\x01" + octal(0, 12)
    with pytest.raises(TarError, match="ends"):
        walk(header(b"s", b"S", magic=GNU, tail=tail) + bytes(504) + b"\x01" + bytes(7))


# --- pax -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "records",
    [
        [(b"GNU.sparse.map", b"0")],
        [(b"GNU.sparse.map", b"0,x")],
        [(b"GNU.sparse.map", b"0,-1")],
        [(b"GNU.sparse.map", b"0,1,")],
        [(b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.numblocks", b"2")],
        [(b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.numblocks", b"-1")],
        [(b"GNU.sparse.map", b"0,1")],
        [(b"GNU.sparse.offset", b"0")],
        [(b"GNU.sparse.numbytes", b"0")],
        [(b"GNU.sparse.offset", b"0"), (b"GNU.sparse.offset", b"0")],
        [(b"GNU.sparse.offset", b"0,1"), (b"GNU.sparse.numbytes", b"1")],
        [(b"GNU.sparse.major", b"0"), (b"GNU.sparse.minor", b"1")],
        [(b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.size", b"x")],
        [(b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.size", b"-1")],
    ],
)
def test_malformed_pax_map_is_refused(records: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(TarError):
        walk(pax(*records) + member(b"s", b"x") + END)


@pytest.mark.parametrize(
    "version", [(b"2", b"0"), (b"1", b"1"), (b"0", b"2"), (b"1", b""), (b"", b"1")]
)
def test_sparse_version_that_nobody_knows_is_a_plain_file(version: tuple[bytes, bytes]) -> None:
    """As in Go's archive/tar: neither name nor map of such records counts."""
    tar = pax(
        (b"GNU.sparse.major", version[0]),
        (b"GNU.sparse.minor", version[1]),
        (b"GNU.sparse.name", b"other"),
        (b"GNU.sparse.map", b"0,1"),
        (b"GNU.sparse.size", b"99"),
    )
    entry = only(tar + member(b"plain", b"data"))
    assert digest(entry) == (b"plain", 4, sha256(b"data").digest())


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"6"])
def test_sparse_records_on_what_is_no_file_are_refused(kind: bytes) -> None:
    records = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
    with pytest.raises(TarError, match="sparse entry that is no file"):
        walk(pax(*records) + member(b"d", kind=kind, link=b"t") + END)


@pytest.mark.parametrize(
    "front",
    [
        b"x\n",
        b"-1\n",
        b"\n",
        b"1\n0\n",
        b"1\n0\nx\n",
        b"1 \n0\n1\n",
        b"0x1\n0\n1\n",
        b"9" * 30 + b"\n",
    ],
)
def test_malformed_map_in_front_is_refused(front: bytes) -> None:
    with pytest.raises(TarError, match="sparse map"):
        walk(raw_10(padded(front), b"x") + END)


@pytest.mark.parametrize("count", [270_000, 9_999_999])
def test_map_in_front_of_more_than_a_mebibyte_is_refused(count: int) -> None:
    """As Go's archive/tar does it; the first of these maps would be complete."""
    front = b"%d\n" % count + b"0\n0\n" * 270_000
    with pytest.raises(TarError, match="sparse map without an end"):
        walk(raw_10(padded(front), b"") + END)


def test_map_in_front_without_a_newline_is_refused() -> None:
    with pytest.raises(TarError, match="sparse map without an end"):
        walk(raw_10(b"1" * 1024, b"") + END)


def test_map_in_front_larger_than_a_block_is_read() -> None:
    fragments = [(10 * at, 3) for at in range(255)]
    entry = only(pax_10(fragments, 10_000))
    assert digest(entry) == (b"s", 10_000, sha256(expanded(fragments, 10_000)).digest())


def test_stored_size_smaller_than_the_map_is_refused() -> None:
    with pytest.raises(TarError, match="sparse map without an end"):
        walk(raw_10(b"0\n", b"") + END)
