"""Any table that the reader can fill survives its blob; filters hold exactly what they must."""

from array import array
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from layerproof.model.entry import (
    BLOCK,
    CHARACTER,
    FILE,
    HARDLINK,
    KIND_NAMES,
    NO_DIGEST,
    SYMLINK,
    EntryTable,
)
from layerproof.oci.entrycodec import (
    decode,
    encode,
    entries_at,
    entries_with,
    file_filter,
    path_filter,
)

numbers = st.integers(-(2**63), 2**63 - 1)
owners = st.tuples(st.integers(0, 0o7777), numbers, numbers)
paths = st.binary(max_size=60).map(lambda path: path.replace(b"\x00", b"?"))
texts = st.text(max_size=20) | st.just("user.\udcff")


@st.composite
def tables(draw: st.DrawFn) -> EntryTable:
    table = EntryTable()
    for index in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from([FILE, FILE, *KIND_NAMES]))
        table.paths.append(draw(paths))
        table.kinds.append(kind)
        table.owners.append(draw(owners))
        table.sizes.append(draw(st.integers(0, 2**64 - 1)) if kind == FILE else 0)
        table.digests += draw(st.binary(min_size=32, max_size=32)) if kind == FILE else NO_DIGEST
        if kind in (SYMLINK, HARDLINK):
            table.links[index] = draw(st.binary(max_size=40))
        if kind in (CHARACTER, BLOCK):
            table.devices[index] = draw(st.tuples(st.integers(0, 2**32), st.integers(0, 2**32)))
        if draw(st.booleans()):
            table.xattrs[index] = draw(st.dictionaries(texts, st.binary(max_size=30), max_size=3))
    return table


def read(filtered: bytes) -> list[int]:
    found = array("I")
    found.frombytes(filtered)
    return list(found)


@given(tables())
def test_table_survives_its_blob(table: EntryTable) -> None:
    assert decode(encode(table)) == table


@given(tables())
def test_filters_hold_every_value_and_no_other(table: EntryTable) -> None:
    assert read(path_filter(table)) == sorted({crc32(entry.path) for entry in table})
    starts = {int.from_bytes(e.sha256[:4], "little") for e in table if e.sha256 is not None}
    assert read(file_filter(table)) == sorted(starts)


@given(tables(), paths)
def test_single_entries_are_those_of_the_whole_table(table: EntryTable, other: bytes) -> None:
    blob = encode(table)
    for path in {other, b"", b"a\x00b", *table.paths}:
        assert entries_at(blob, path) == tuple(entry for entry in table if entry.path == path)
    for sha256 in {NO_DIGEST, *(entry.sha256 for entry in table if entry.sha256)}:
        assert entries_with(blob, sha256) == tuple(e for e in table if e.sha256 == sha256)


def test_two_paths_are_not_one_with_a_nul_between_them() -> None:
    table = EntryTable()
    for path in (b"a", b"b", b"a"):
        table.paths.append(path)
        table.kinds.append(FILE)
        table.owners.append((0o644, 0, 0))
        table.sizes.append(0)
        table.digests += NO_DIGEST
    blob = encode(table)
    assert entries_at(blob, b"a\x00b") == ()
    assert len(entries_at(blob, b"a")) == 2
    assert len(entries_with(blob, NO_DIGEST)) == 3
