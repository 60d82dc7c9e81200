"""Extended headers: pax records that lie, global headers, GNU long names."""

import pytest
from tests.unit.oci.tars import (
    END,
    GNU,
    V7,
    entries,
    header,
    long_name,
    member,
    only,
    pax,
    raw_pax,
    record,
    walk,
)

from layerproof.errors import LimitExceededError, TarError
from layerproof.model.entry import HARDLINK, SYMLINK
from layerproof.oci.limits import Limits
from layerproof.oci.tarpax import pax_records

# --- pax records ---------------------------------------------------------------------------------


def test_records_apply_to_the_next_entry_only() -> None:
    tar = pax((b"path", b"a"), (b"uid", b"5"), (b"size", b"3")) + header(b"x", size=9) + b"abc"
    found = entries(tar + bytes(509) + member(b"b") + END)
    assert [(e.path, e.uid, e.size) for e in found] == [(b"a", 5, 3), (b"b", 0, 0)]


def test_later_record_of_a_key_wins() -> None:
    assert only(pax((b"path", b"a"), (b"path", b"b")) + member(b"x")).path == b"b"


def test_empty_record_leaves_the_headers_value() -> None:
    tar = pax((b"path", b""), (b"uid", b""), (b"size", b""), (b"linkpath", b""), (b"mtime", b""))
    entry = only(tar + member(b"name", b"12", uid=4))
    assert (entry.path, entry.uid, entry.size) == (b"name", 4, 2)


def test_second_pax_header_replaces_the_first() -> None:
    """As in Go's archive/tar: what only the first one said is lost."""
    tar = pax((b"path", b"a"), (b"uid", b"7")) + pax((b"gid", b"8")) + member(b"x")
    entry = only(tar)
    assert (entry.path, entry.uid, entry.gid) == (b"x", 0, 8)


@pytest.mark.parametrize(
    "data",
    [
        b"8 path=a\n",  # one too few
        b"11 path=a\n",  # more than there are
        b"9 path=ab",  # no newline
        b"0 path=a\n",
        b"1 path=a\n",
        b"3 \n",
        b"-9 path=a\n",
        b"+9 path=a\n",
        b"9\x00path=a\n",
        b"99999999999999999999999999 path=a\n",
        b"999999999999999999 path=a\n",
        b"path=a\n",
        b" 9 path=a\n",
        b"9 path a\n",
        b"9 =value\n",
        b"5 =a\n",
        b"9 path=a\n\x00\x00",
        "٩ path=a\n".encode(),
    ],
)
def test_record_whose_length_lies_is_refused(data: bytes) -> None:
    with pytest.raises(TarError, match="at offset 512"):
        walk(member(b"before") + raw_pax(data) + member() + END)


def test_record_may_hold_newlines_and_equals_signs() -> None:
    assert pax_records(record(b"k", b"a\nb=c\n\n") + record(b"l", b"="), 0) == {
        "k": b"a\nb=c\n\n",
        "l": b"=",
    }


@pytest.mark.parametrize("key", [b"path", b"linkpath", b"uname", b"gname"])
def test_nul_in_a_name_is_refused(key: bytes) -> None:
    with pytest.raises(TarError, match="NUL in pax record"):
        walk(pax((key, b"etc/passwd\x00.txt")) + member() + END)


def test_nul_in_a_key_is_refused() -> None:
    with pytest.raises(TarError, match="NUL in pax record"):
        walk(pax((b"SCHILY.xattr.user\x00a", b"v")) + member() + END)


def test_nul_in_the_name_of_a_sparse_file_is_refused() -> None:
    records = [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"a\x00b"),
    ]
    with pytest.raises(TarError, match="NUL in a name"):
        walk(pax(*records) + member(b"x", b"0\n" + bytes(510)) + END)


@pytest.mark.parametrize("key", [b"uid", b"gid", b"size"])
@pytest.mark.parametrize(
    "value", [b"x", b"1x", b"--1", b"1.5", b"0x10", b" 1", b"9223372036854775808", b"9" * 5000]
)
def test_number_that_is_none_or_too_large_is_refused(key: bytes, value: bytes) -> None:
    with pytest.raises(TarError, match=f"pax record {key.decode()} is not a number"):
        walk(pax((key, value)) + member() + END)


@pytest.mark.parametrize(("value", "uid"), [(b"+5", 5), (b"0" * 100 + b"7", 7), (b"-1", 0)])
def test_number_in_odd_spelling_is_read_as_go_reads_it(value: bytes, uid: int) -> None:
    assert only(pax((b"uid", value)) + member(uid=3)).uid == uid


def test_negative_size_record_is_refused() -> None:
    with pytest.raises(TarError, match="negative size"):
        walk(pax((b"size", b"-512")) + member() + END)


@pytest.mark.parametrize("value", [b"1700000000", b"1.5", b"-1.5", b"+3", b"7."])
def test_time_is_accepted_as_go_accepts_it(value: bytes) -> None:
    assert only(pax((b"mtime", value)) + member(b"a")).path == b"a"


@pytest.mark.parametrize("key", [b"mtime", b"atime", b"ctime"])
@pytest.mark.parametrize("value", [b".5", b"x", b"1.5x", b"-", b"1e9", b"9" * 30])
def test_malformed_time_is_refused_though_nobody_keeps_it(key: bytes, value: bytes) -> None:
    with pytest.raises(TarError, match="is not a time"):
        walk(pax((key, value)) + member() + END)


def test_key_that_is_no_utf_8_is_kept_apart() -> None:
    entry = only(pax((b"SCHILY.xattr.user.\xff", b"\x00\xff")) + member())
    assert entry.xattrs == {"user.\udcff": b"\x00\xff"}


def test_extended_attributes_are_kept() -> None:
    value = b"\x01\x00\x00\x02" + bytes(16)
    tar = (
        pax((b"SCHILY.xattr.security.capability", value), (b"LIBARCHIVE.xattr.a", b"eA=="))
        + member()
    )
    assert only(tar).xattrs == {"security.capability": value}


def test_extended_attributes_are_bounded() -> None:
    limits = Limits(xattr_bytes=100)
    tar = pax((b"SCHILY.xattr.a", b"v" * 60), (b"SCHILY.xattr.b", b"v" * 38)) + member()
    assert len(only(tar, limits=limits).xattrs) == 2
    tar = pax((b"SCHILY.xattr.a", b"v" * 60), (b"SCHILY.xattr.bc", b"v" * 38)) + member()
    with pytest.raises(LimitExceededError) as caught:
        walk(tar + END, limits=limits)
    assert caught.value.limit == "xattr_bytes"
    assert "at offset 1024" in str(caught.value)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_huge_extended_header_is_refused_before_it_is_read(kind: bytes) -> None:
    tar = member(b"a") + header(b"x", kind, size=2**20 + 1)
    with pytest.raises(LimitExceededError, match=r"1048577 bytes.*at offset 512") as caught:
        walk(tar)
    assert caught.value.limit == "header_bytes"


def test_extended_header_of_the_largest_size_is_read() -> None:
    data = record(b"comment", b"v" * (2**20 - 17))
    assert len(data) == 2**20
    assert entries(raw_pax(data) + member(b"a") + END)[0].path == b"a"


# --- global headers ------------------------------------------------------------------------------


def test_global_header_is_ignored_and_noted() -> None:
    walked = walk(pax((b"path", b"evil"), (b"uid", b"0"), kind=b"g") + member(b"a", uid=5) + END)
    assert [(e.path, e.uid) for e in walked.entries] == [(b"a", 5)]
    assert walked.walker.notes == {"global pax header, ignored as runtimes do": 1}


def test_global_header_uses_up_the_extended_headers_before_it() -> None:
    """Go's archive/tar returns it as an entry: the path of the header before it is lost."""
    tar = pax((b"path", b"lost")) + pax((b"comment", b""), kind=b"g") + member(b"real")
    assert only(tar).path == b"real"
    tar = long_name(b"lost") + pax((b"comment", b""), kind=b"g") + member(b"real", magic=GNU)
    assert only(tar).path == b"real"


def test_malformed_global_header_is_refused() -> None:
    with pytest.raises(TarError, match="malformed pax record"):
        walk(raw_pax(b"junk", b"g") + member() + END)


# --- GNU long names ------------------------------------------------------------------------------


def test_long_name_and_long_link_apply_to_the_next_entry_only() -> None:
    tar = long_name(b"n" * 300) + long_name(b"t" * 300, b"K")
    tar += member(b"x", kind=b"2", link=b"y", magic=GNU) + member(b"b", magic=GNU)
    found = entries(tar + END)
    assert (found[0].path, found[0].link, found[0].kind) == (b"n" * 300, b"t" * 300, SYMLINK)
    assert (found[1].path, found[1].link) == (b"b", None)


def test_long_name_ends_at_its_first_nul() -> None:
    assert only(long_name(b"short\x00hidden") + member(magic=GNU)).path == b"short"


def test_empty_long_name_leaves_the_headers_name() -> None:
    tar = long_name(b"") + long_name(b"", b"K")
    entry = only(tar + member(b"name", kind=b"2", link=b"target", magic=GNU))
    assert (entry.path, entry.link) == (b"name", b"target")


def test_long_name_wins_over_a_pax_path_whatever_the_order() -> None:
    for tar in (
        pax((b"path", b"pax")) + long_name(b"gnu"),
        long_name(b"gnu") + pax((b"path", b"pax")),
    ):
        assert only(tar + member(b"x")).path == b"gnu"


def test_last_of_two_long_names_wins() -> None:
    assert only(long_name(b"one") + long_name(b"two") + member(magic=GNU)).path == b"two"


def test_long_name_in_a_seventh_edition_header_counts_too() -> None:
    tar = member(b"x", b"long\x00", b"L", magic=V7) + member(b"y", magic=V7)
    assert only(tar).path == b"long"


def test_path_over_the_limit_is_refused_with_the_offset() -> None:
    tar = long_name(b"n" * 16_385) + member(magic=GNU)
    with pytest.raises(LimitExceededError, match=r"16385 bytes.*at offset 17408") as caught:
        walk(tar + END)
    assert caught.value.limit == "path_bytes"
    assert only(long_name(b"n" * 16_384) + member(magic=GNU)).path == b"n" * 16_384


@pytest.mark.parametrize("kind", [b"1", b"2"])
def test_link_target_over_the_limit_is_refused(kind: bytes) -> None:
    tar = long_name(b"t" * 16_385, b"K") + member(kind=kind, magic=GNU)
    with pytest.raises(LimitExceededError) as caught:
        walk(tar + END)
    assert caught.value.limit == "path_bytes"


def test_long_target_of_what_is_no_link_is_left_alone() -> None:
    tar = long_name(b"t" * 20_000, b"K") + member(b"a", magic=GNU)
    assert only(tar).link is None


# --- links ---------------------------------------------------------------------------------------


def test_symlink_target_is_kept_as_written() -> None:
    for target in (b"../../etc//passwd", b"/abs/./x/", b"\xff\xfe", b""):
        entry = only(member(b"l", kind=b"2", link=target))
        assert (entry.kind, entry.link) == (SYMLINK, target)


@pytest.mark.parametrize(
    ("target", "clean"), [(b"/bin/sh", b"bin/sh"), (b"./a//b/", b"a/b"), (b"a/../b", b"b")]
)
def test_hard_link_target_is_cleaned(target: bytes, clean: bytes) -> None:
    entry = only(member(b"h", kind=b"1", link=target))
    assert (entry.kind, entry.link) == (HARDLINK, clean)


def test_hard_link_that_climbs_out_stays_inside_and_is_noted() -> None:
    walked = walk(member(b"h", kind=b"1", link=b"../../etc/shadow") + END)
    assert walked.entries[0].link == b"etc/shadow"
    assert walked.walker.notes == {
        "hard link that climbs above the root, taken as a chroot takes it": 1
    }


def test_linkpath_record_wins_over_the_header() -> None:
    tar = pax((b"linkpath", b"/to/pax")) + member(b"l", kind=b"2", link=b"header")
    assert only(tar).link == b"/to/pax"


def test_link_in_the_header_ends_at_its_first_nul() -> None:
    assert only(member(b"l", kind=b"2", link=b"a\x00b")).link == b"a"
