"""The tar as a stream: where it ends, where it is cut, how it is chunked."""

from hashlib import sha256

import pytest
from tests.unit.oci.tars import (
    END,
    GNU,
    Wishes,
    attempt,
    entries,
    header,
    long_name,
    member,
    octal,
    pax,
    pieces,
    raw_pax,
    walk,
)

from layerproof.errors import LayerproofError, TarError
from layerproof.model.entry import FILE
from layerproof.oci.limits import Limits
from layerproof.oci.tar import TarWalker

MIXED = b"".join(
    (
        member(b"dir/", kind=b"5"),
        member(b"dir/plain", b"#!/bin/sh\n"),
        pax((b"path", b"dir/from-pax"), (b"SCHILY.xattr.user.a", b"1")),
        member(b"x", b"p" * 600),
        long_name(b"dir/" + b"long" * 40),
        member(b"x", b"l" * 512, magic=GNU),
        member(b"dir/link", kind=b"2", link=b"plain"),
        member(b"dir/.wh.gone"),
    )
)


def names(tar: bytes) -> list[bytes]:
    return [entry.path for entry in entries(tar)]


# --- ends ----------------------------------------------------------------------------------------


def test_empty_tar_is_an_empty_layer() -> None:
    assert entries(b"") == []
    assert entries(END) == []


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(1024), bytes(10_240)])
def test_missing_short_and_long_ends_are_all_ends(end: bytes) -> None:
    walked = walk(member(b"a", b"x") + end)
    assert [entry.path for entry in walked.entries] == [b"a"]
    assert walked.walker.notes == {}


def test_lone_zero_block_between_entries_is_refused() -> None:
    with pytest.raises(TarError, match=r"single zero block.*at offset 1024"):
        walk(member(b"a") + bytes(512) + member(b"b") + END)


def test_data_after_the_end_is_no_entry_but_noted() -> None:
    walked = walk(member(b"a") + END + b"\x00" * 700 + b"hidden")
    assert [entry.path for entry in walked.entries] == [b"a"]
    assert walked.walker.notes == {"data after the end of the archive": 1}


def test_second_archive_behind_the_first_is_noted_and_not_read() -> None:
    """Runtimes stop at the first end; GNU tar's --ignore-zeros would go on."""
    walked = walk(member(b"a") + END + member(b"b") + END)
    assert [entry.path for entry in walked.entries] == [b"a"]
    assert walked.walker.notes == {"data after the end of the archive": 1}


def test_text_is_no_tar() -> None:
    with pytest.raises(TarError, match=r"bad header checksum.*at offset 0"):
        walk(b"hello world\n" * 100)


# --- cuts ----------------------------------------------------------------------------------------


def test_every_cut_gives_fewer_whole_entries_or_a_named_error() -> None:
    whole = entries(MIXED)
    assert len(whole) == 6
    accepted = []
    for length in range(len(MIXED)):
        walked = attempt([MIXED[:length]])
        if walked.error is None:
            accepted.append(length)
            assert walked.entries == whole[: len(walked.entries)]
        else:
            assert isinstance(walked.error, TarError)
    # Accepted: where an entry (or its extended header) starts, and where only padding is missing.
    assert accepted == [0, 512, *range(1034, 1537), *range(3672, 4097), 6144, 6656]


def test_cut_inside_a_file_names_its_header() -> None:
    with pytest.raises(TarError, match="ends inside a file") as caught:
        walk(member(b"first", b"1" * 512) + member(b"second", b"x" * 600)[:-500])
    assert caught.value.offset == 1024


def test_cut_inside_the_data_of_a_whiteout_is_refused() -> None:
    with pytest.raises(TarError, match="ends inside the data of an entry"):
        walk(member(b".wh.a", b"x" * 600)[:1000])


def test_padding_missing_behind_the_data_of_a_whiteout_is_an_end() -> None:
    assert len(entries(member(b".wh.a", b"x" * 600)[:1200])) == 1


def test_cut_inside_a_header_is_refused_even_when_it_is_zeros() -> None:
    with pytest.raises(TarError, match=r"ends inside a header \(at offset 512\)"):
        walk(member(b"a") + bytes(511))


@pytest.mark.parametrize("extended", [pax((b"path", b"b")), long_name(b"b"), long_name(b"b", b"K")])
@pytest.mark.parametrize("end", [b"", END])
def test_extended_header_without_its_entry_is_refused(extended: bytes, end: bytes) -> None:
    with pytest.raises(TarError, match="ends after an extended header"):
        walk(member(b"a") + extended + end)


# --- chunks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 511, 512, 513, 1000, 1024, 4096])
def test_chunk_size_changes_nothing(size: int) -> None:
    wishes = Wishes(names=frozenset({b"plain", b"from-pax"}), magics={b"#!": (2,), b"pp": (3,)})
    tar = MIXED + END + b"trailing"
    assert (
        attempt(pieces(tar, size), wishes=wishes).outcome == attempt([tar], wishes=wishes).outcome
    )


@pytest.mark.parametrize("cut", range(0, len(MIXED), 61))
def test_one_cut_anywhere_changes_nothing(cut: int) -> None:
    assert attempt([MIXED[:cut], MIXED[cut:]]).outcome == attempt([MIXED]).outcome


def test_empty_chunks_change_nothing() -> None:
    spaced = [chunk for piece in pieces(MIXED, 100) for chunk in (b"", piece, b"")]
    assert attempt(spaced).outcome == attempt([MIXED]).outcome


def test_first_two_bytes_of_a_file_never_come_from_its_padding() -> None:
    """A file of one byte, `#`, whose padding starts with `!`."""
    tar = header(b"a", size=1) + b"#!" + bytes(510) + END
    wishes = Wishes(magics={b"#!": (1,)})
    assert attempt([tar], wishes=wishes).delivered == []
    assert attempt(pieces(tar, 1), wishes=wishes).delivered == []


class Counting(TarWalker):
    """Counts the bytes that are walked: each byte of a buffer that is looked at again counts."""

    walked = 0

    def _walk(self, chunk: bytes) -> int:
        self.walked += len(chunk)
        return super()._walk(chunk)


@pytest.mark.parametrize(
    "tar",
    [
        pytest.param(raw_pax(b"1048576 k=" + b"v" * (2**20 - 11) + b"\n") + member(), id="pax"),
        pytest.param(long_name(b"n" * 16_000) + member(magic=GNU), id="long name"),
        pytest.param(
            header(
                b"s",
                b"S",
                magic=GNU,
                tail=bytes(41) + bytes(96) + b"\x01" + octal(0, 12),
            )
            + (bytes(504) + b"\x01" + bytes(7)) * 400
            + bytes(512),
            id="sparse map",
        ),
        pytest.param(member(b"a", b"x" * 50_000), id="file"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_work_is_linear_whatever_the_chunks(tar: bytes, size: int) -> None:
    walker = Counting(Wishes(), lambda *_: None, Limits())
    for piece in pieces(tar, size):
        walker.feed(piece)
    walker.close()
    assert len(walker.entries) == 1
    assert walker.walked <= 3 * len(tar)


# --- contents ------------------------------------------------------------------------------------


def test_files_are_hashed_and_counted() -> None:
    walked = walk(MIXED)
    files = {e.path: (e.size, e.sha256) for e in walked.entries if e.kind == FILE}
    assert files == {
        b"dir/plain": (10, sha256(b"#!/bin/sh\n").digest()),
        b"dir/from-pax": (600, sha256(b"p" * 600).digest()),
        b"dir/" + b"long" * 40: (512, sha256(b"l" * 512).digest()),
    }
    assert walked.walker.file_bytes == 1122


def test_empty_file_has_the_digest_of_nothing() -> None:
    tar = member(b"straight") + pax((b"path", b"odd")) + member(b"x")
    assert [entry.sha256 for entry in entries(tar)] == [sha256(b"").digest()] * 2


def test_equal_owners_share_one_tuple() -> None:
    tar = b"".join(member(b"%d" % n, uid=n % 2) for n in range(4)) + member(b".hidden", uid=1)
    owners = walk(tar).walker.entries.owners
    assert owners[0] is owners[2]
    assert owners[1] is owners[3] is owners[4]


def test_error_is_a_layerproof_error_with_where_it_was() -> None:
    with pytest.raises(LayerproofError) as caught:
        walk(member(b"a") + b"\x01" * 512)
    assert "at offset 512" in str(caught.value)
