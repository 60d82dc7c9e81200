"""What a layer may cost: entries, names, holes."""

import pytest
from tests.unit.oci.tars import (
    END,
    GNU,
    Wishes,
    attempt,
    long_name,
    member,
    octal,
    pax,
    pieces,
    walk,
)

from layerproof.errors import LimitExceededError
from layerproof.oci.limits import Limits


@pytest.mark.parametrize("kind", [b"0", b"5", b"2"])
def test_one_entry_too_many_is_refused(kind: bytes) -> None:
    tar = b"".join(member(b"%d" % n, kind=kind, link=b"t") for n in range(4))
    assert len(walk(tar, limits=Limits(entries=4)).entries) == 4
    with pytest.raises(LimitExceededError, match=r"more than 3 entries.*at offset 1536") as caught:
        walk(tar, limits=Limits(entries=3))
    assert caught.value.limit == "entries"


@pytest.mark.parametrize("kind", [b"0", b"5", b"2"])
def test_entry_cap_is_the_same_error_in_every_chunking(kind: bytes) -> None:
    tar = b"".join(member(b"%d" % n, kind=kind, link=b"t") for n in range(4)) + b"damage" * 100
    limits = Limits(entries=3)
    whole = attempt([tar], limits=limits)
    assert isinstance(whole.error, LimitExceededError)
    for size in (1, 512, 700):
        assert attempt(pieces(tar, size), limits=limits).outcome == whole.outcome


def test_long_names_share_a_bound() -> None:
    one = long_name(b"n" * 1000) + member(magic=GNU)
    assert len(walk(one * 3, limits=Limits(names_bytes=3000)).entries) == 3
    with pytest.raises(LimitExceededError, match="of paths, link targets") as caught:
        walk(one * 4, limits=Limits(names_bytes=3000))
    assert caught.value.limit == "names_bytes"


def test_targets_and_attributes_count_as_names() -> None:
    link = long_name(b"t" * 1000, b"K") + member(b"l", kind=b"2", magic=GNU)
    attributes = pax((b"SCHILY.xattr.user.a", b"v" * 1000)) + member(b"f")
    for one in (link, attributes):
        with pytest.raises(LimitExceededError) as caught:
            walk(one * 3, limits=Limits(names_bytes=3000))
        assert caught.value.limit == "names_bytes"


def hollow(size: int) -> bytes:
    """A sparse file without data: one block in the tar, any size outside."""
    return member(b"s", kind=b"S", magic=GNU, tail=bytes(138) + octal(size, 12))


def test_sparse_bomb_is_refused_before_its_holes_are_filled() -> None:
    with pytest.raises(LimitExceededError, match="at offset 0") as caught:
        walk(hollow(8 * 2**30 - 1) + hollow(2) + END, limits=Limits(sparse_bytes=2**30))
    assert caught.value.limit == "sparse_bytes"


def test_many_small_sparse_bombs_share_one_bound() -> None:
    """Otherwise a megabyte of headers could demand the hashing of petabytes."""
    limits = Limits(sparse_bytes=4 * 2**20)
    assert len(walk(hollow(2**20) * 4 + END, limits=limits).entries) == 4
    with pytest.raises(LimitExceededError) as caught:
        walk(hollow(2**20) * 1000 + END, limits=limits)
    assert caught.value.limit == "sparse_bytes"
    assert "at offset 2048" in str(caught.value)


def test_wanted_file_over_the_capture_cap_is_reported_not_kept() -> None:
    limits = Limits(capture_bytes=10)
    wishes = Wishes(names=frozenset({b"status"}), magics={b"xx": (2,)})
    tar = member(b"a/status", b"x" * 11) + member(b"b/status", b"y" * 10) + END
    for size in (1, 1 << 18):
        walked = walk(tar, wishes=wishes, limits=limits, chunk=size)
        assert walked.walker.too_large == [b"a/status"]
        assert [(who, path) for who, path, _, _ in walked.delivered] == [
            ((2,), b"a/status"),
            ((1,), b"b/status"),
        ]
        assert walked.entries[0].sha256 is not None


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(names=frozenset({b"f.egg-info"})),
        Wishes(folders=frozenset({b"a/b"})),
        Wishes(paths=frozenset({b"a/b/f.egg-info"})),
        Wishes(suffixes=(b".egg-info",)),
    ],
)
def test_wanted_file_is_delivered_whole_with_its_index(wishes: Wishes) -> None:
    data = bytes(range(256)) * 20
    tar = member(b"a/", kind=b"5") + member(b"a/b/f.egg-info", data) + member(b"a/f", data) + END
    for size in (1, 700, 1 << 18):
        walked = walk(tar, wishes=wishes, chunk=size)
        assert walked.delivered == [((1,), b"a/b/f.egg-info", 1, data)]


def test_head_of_a_file_with_wanted_first_bytes_is_delivered() -> None:
    wishes = Wishes(magics={b"#!": (4,)})
    script = b"#!/bin/sh\n" + b"x" * 1000
    tar = member(b"long", script) + member(b"short", b"#!") + member(b"other", b"!#") + END
    for size in (1, 700, 1 << 18):
        assert walk(tar, wishes=wishes, chunk=size).delivered == [
            ((4,), b"long", 0, script[:512]),
            ((4,), b"short", 1, b"#!"),
        ]


def test_only_regular_files_are_delivered() -> None:
    wishes = Wishes(names=frozenset({b"status"}))
    kinds = (b"1", b"2", b"3", b"5", b"6")
    tar = b"".join(member(b"d/status", kind=kind, link=b"t") for kind in kinds)
    tar += member(b".wh.status", b"data") + END
    assert walk(tar, wishes=wishes).delivered == []
