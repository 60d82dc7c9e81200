"""Entry types: which have data, which are refused."""

import pytest
from tests.unit.oci.tars import END, GNU, USTAR, V7, entries, header, member, only, pax, walk

from layerproof.errors import TarError
from layerproof.model.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
)


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (b"\x00", FILE),
        (b"0", FILE),
        (b"1", HARDLINK),
        (b"2", SYMLINK),
        (b"3", CHARACTER),
        (b"4", BLOCK),
        (b"5", DIRECTORY),
        (b"6", FIFO),
        (b"7", FILE),
    ],
)
def test_type_is_told(flag: bytes, kind: int) -> None:
    entry = only(member(b"a", kind=flag, link=b"t"))
    assert entry.kind == kind
    assert (entry.link is not None) == (kind in (HARDLINK, SYMLINK))
    assert (entry.device is not None) == (kind in (CHARACTER, BLOCK))
    assert (entry.sha256 is not None) == (kind == FILE)


@pytest.mark.parametrize(
    "flag", [b"V", b"M", b"D", b"N", b"X", b"A", b"I", b"8", b" ", b"\xff", b"\n"]
)
def test_type_that_runtimes_refuse_is_refused_with_the_offset(flag: bytes) -> None:
    with pytest.raises(TarError, match=r"entry of type .* \(at offset 512\)"):
        walk(member(b"before") + member(b"a", kind=flag) + END)


@pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"4", b"5", b"6"])
@pytest.mark.parametrize("prelude", [b"", pax((b"uid", b"1"))])
def test_stated_size_of_what_has_no_data_is_not_skipped(flag: bytes, prelude: bytes) -> None:
    """Go's archive/tar takes the next block for a header: a reader that skips would not see it."""
    tar = prelude + header(b"a", flag, size=1024, link=b"t") + member(b"b", b"1") + END
    assert [(e.path, e.size) for e in entries(tar)] == [(b"a", 0), (b"b", 1)]


@pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_pax_size_of_what_has_no_data_is_not_skipped(flag: bytes) -> None:
    tar = pax((b"size", b"512")) + header(b"a", flag, link=b"t") + member(b"b") + END
    assert [e.path for e in entries(tar)] == [b"a", b"b"]


def test_old_folder_by_trailing_slash_has_no_data_either() -> None:
    tar = header(b"d/", b"\x00", size=512, magic=V7) + member(b"b") + END
    assert [(e.path, e.kind) for e in entries(tar)] == [(b"d", DIRECTORY), (b"b", FILE)]


def test_contiguous_file_has_data() -> None:
    entry = only(member(b"a", b"data", b"7"))
    assert (entry.kind, entry.size) == (FILE, 4)


def test_dialects_give_the_same_entries() -> None:
    star = bytes(131) + b"00000000000\x00" * 2 + bytes(8) + b"tar\x00"
    found = [
        only(member(b"a", b"data", mode=0o4755, uid=1, gid=2, magic=magic, tail=tail))
        for magic, tail in (
            (USTAR, b""),
            (GNU, b""),
            (V7, b""),
            (USTAR, star),
            (b"ustar\x00\x00\x00", b""),
        )
    ]
    assert all(entry == found[0] for entry in found)
