"""The blob of an entry table: round trips, filters, damage."""

import contextlib
import random
from array import array
from zlib import crc32

import pytest
from tests.unit.oci.tars import END, base256, header, member, pax, walk

from layerproof.errors import IndexUnavailableError
from layerproof.model.entry import EntryTable
from layerproof.oci import zstd
from layerproof.oci.entrycodec import (
    decode,
    encode,
    entries_at,
    entries_with,
    file_filter,
    path_filter,
)

TAR = b"".join(
    (
        member(b"./", kind=b"5"),
        member(b"dir/", kind=b"5", mode=0o1777),
        member(b"dir/file", b"contents", uid=1000, gid=100, mode=0o4755),
        member(b"dir/empty"),
        member(b"dir/link", kind=b"2", link=b"\xff\xfe/../x"),
        member(b"dir/hard", kind=b"1", link=b"dir/file"),
        pax((b"SCHILY.xattr.user.\xff", b"\x00\xff"), (b"uid", b"4294967294")) + member(b"\xe9\n"),
        header(b"dev/null", b"3", device=(1, base256(2**32 - 1, 8))),
        member(b"pipe", kind=b"6"),
        member(b"dir/.wh.gone"),
        member(b"dir/.wh..wh..opq"),
        member(b"dir/file", b"again"),
    )
)


def table() -> EntryTable:
    return walk(TAR + END).walker.entries


def numbers(filtered: bytes) -> list[int]:
    found = array("I")
    found.frombytes(filtered)
    return list(found)


def test_every_column_survives() -> None:
    assert decode(encode(table())) == table()


def test_empty_table_survives() -> None:
    assert decode(encode(EntryTable())) == EntryTable()
    assert path_filter(EntryTable()) == file_filter(EntryTable()) == b""


def test_table_of_the_root_alone_survives() -> None:
    root = walk(member(b"./", kind=b"5")).walker.entries
    assert decode(encode(root)) == root


def test_equal_tables_give_equal_blobs() -> None:
    assert encode(table()) == encode(table())


def test_largest_numbers_survive() -> None:
    entries = table()
    entries.sizes[2] = 2**63 - 1
    entries.owners[2] = (0o7777, 2**63 - 1, -(2**63))
    assert decode(encode(entries)) == entries


def test_only_files_have_their_digest_stored() -> None:
    many = EntryTable()
    for tar in (b"".join(member(b"%d" % n, kind=b"5") for n in range(5000)),):
        many = walk(tar).walker.entries
    assert len(encode(many)) < 32 * 5000 / 2


def test_path_filter_holds_the_crc32_of_every_path_once() -> None:
    entries = table()
    assert numbers(path_filter(entries)) == sorted({crc32(path) for path in entries.paths})


def test_file_filter_holds_the_start_of_every_files_digest_once() -> None:
    entries = table()
    starts = {int.from_bytes(e.sha256[:4], "little") for e in entries if e.sha256 is not None}
    assert numbers(file_filter(entries)) == sorted(starts)


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("blob", [b"", b"LPE1", b"LPE2" + bytes(12), b"junk" * 100, bytes(100)])
def test_what_is_no_blob_is_a_damaged_index(blob: bytes) -> None:
    with pytest.raises(IndexUnavailableError, match="do not decode"):
        decode(blob)


def test_cut_blob_is_a_damaged_index() -> None:
    blob = encode(table())
    for length in range(len(blob)):
        with pytest.raises(IndexUnavailableError):
            decode(blob[:length])


def test_blob_with_more_behind_it_is_a_damaged_index() -> None:
    with pytest.raises(IndexUnavailableError):
        decode(encode(table()) + b"x")


def test_damaged_byte_never_raises_anything_else() -> None:
    blob = encode(table())
    for at in range(len(blob)):
        for value in (0, 255, blob[at] ^ 1):
            with contextlib.suppress(IndexUnavailableError):
                decode(blob[:at] + bytes([value]) + blob[at + 1 :])


NOTHING_RARE = b'{"links":{},"xattrs":{},"devices":{}}'
OWNER = b"\0\0\0\0"  # the number of the only one
ONE_FILE = b"\1\0\0\0f\1\0\0\0" + b"\1" * 18 + OWNER + bytes(8) + b"p"


def rebuilt(columns: bytes, digests: bytes, rare: bytes) -> bytes:
    sections = (zstd.pack(columns), digests, zstd.pack(rare), zstd.pack(b""), b"")
    return b"LPE2" + b"".join(len(s).to_bytes(4, "little") + s for s in sections)


@pytest.mark.parametrize(
    "rare",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"links":[],"xattrs":{},"devices":{}}',
        b'{"links":{"0":5},"xattrs":{},"devices":{}}',
        b'{"links":{"x":""},"xattrs":{},"devices":{}}',
        b'{"links":{},"xattrs":{"0":{"a":"?"}},"devices":{}}',
        b'{"links":{},"xattrs":{"0":3},"devices":{}}',
        b'{"links":{},"xattrs":{},"devices":{"0":[1]}}',
        b'{"links":{},"xattrs":{},"devices":{"0":7}}',
    ],
)
def test_rare_section_of_another_shape_is_a_damaged_index(rare: bytes) -> None:
    with pytest.raises(IndexUnavailableError):
        decode(rebuilt(bytes(8), b"", rare))


def test_a_rare_section_that_is_none_is_the_only_damage_of_these() -> None:
    assert decode(rebuilt(bytes(8), b"", NOTHING_RARE)) == EntryTable()


@pytest.mark.parametrize(
    ("columns", "digests"),
    [
        pytest.param(b"\1\0\0\0f", b"", id="cut"),
        pytest.param(ONE_FILE, b"", id="a file without a digest"),
        pytest.param(ONE_FILE + b"\0more", bytes(32), id="more paths than entries"),
        pytest.param(ONE_FILE.replace(OWNER, b"\5\0\0\0"), bytes(32), id="an unknown owner"),
    ],
)
def test_a_few_entries_of_damaged_columns_are_a_damaged_index(
    columns: bytes, digests: bytes
) -> None:
    blob = rebuilt(columns, digests, NOTHING_RARE)
    with pytest.raises(IndexUnavailableError):
        decode(blob)
    with pytest.raises(IndexUnavailableError):
        entries_at(blob, b"p")


def test_damaged_columns_never_raise_anything_else() -> None:
    whole = encode(table())
    length = int.from_bytes(whole[4:8], "little")
    columns = zstd.unpack(whole[8 : 8 + length])
    chance = random.Random(2)
    for _ in range(2000):
        damaged = bytearray(columns)
        at = chance.randrange(len(damaged))
        damaged[at : at + 4] = chance.randbytes(4)
        blob = rebuilt(bytes(damaged), bytes(32 * 5), NOTHING_RARE)
        with contextlib.suppress(IndexUnavailableError):
            decode(blob)
        with contextlib.suppress(IndexUnavailableError):
            entries_at(blob, chance.choice(table().paths))
        with contextlib.suppress(IndexUnavailableError):
            entries_with(blob, bytes(32))
