"""Random trees, written by another implementation, read back; random chunks; random damage."""

import io
import itertools
import tarfile
from dataclasses import dataclass
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.oci.tars import Wishes, attempt, seal

from layerproof.model.entry import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
)
from layerproof.oci.limits import Limits
from layerproof.oci.tarnames import clean_path

WISHES = Wishes(
    names=frozenset({b"status"}), suffixes=(b"info",), magics={b"#!": (2,), b"\x7fE": (3,)}
)
LIMITS = Limits(capture_bytes=600, sparse_bytes=1 << 20, entries=40)

TYPES = {
    FILE: tarfile.REGTYPE,
    HARDLINK: tarfile.LNKTYPE,
    SYMLINK: tarfile.SYMTYPE,
    CHARACTER: tarfile.CHRTYPE,
    BLOCK: tarfile.BLKTYPE,
    DIRECTORY: tarfile.DIRTYPE,
    FIFO: tarfile.FIFOTYPE,
}

# Names as they are, without what readers clean away: that has its own tests.
letters = st.text(st.characters(codec="utf-8", exclude_characters="/\x00"), min_size=1, max_size=30)
components = st.one_of(
    st.sampled_from(["a", "etc", "status", "x.egg-info", ".hidden", "n" * 90, "ü" * 60]), letters
).filter(lambda name: name not in (".", "..") and not name.startswith(".wh."))
paths = st.lists(components, min_size=1, max_size=5).map("/".join)
contents = st.one_of(
    st.sampled_from([b"", b"#!/bin/sh\n", b"\x7fELF", b"#"]),
    st.binary(max_size=1300),
    st.integers(0, 3000).map(bytes),
)
numbers = st.one_of(
    st.sampled_from([0, 1000, 0o7777777, 0o10000000, 2**32 - 2]), st.integers(0, 2**31)
)
devices = st.tuples(st.integers(0, 0o7777777), st.integers(0, 0o7777777))


@dataclass
class Node:
    path: str
    kind: int
    mode: int
    uid: int
    gid: int
    data: bytes
    link: str
    device: tuple[int, int]

    def expected(self) -> Entry:
        is_file = self.kind == FILE
        link = self.link.encode()
        return Entry(
            path=self.path.encode(),
            kind=self.kind,
            mode=self.mode,
            uid=self.uid,
            gid=self.gid,
            size=len(self.data) if is_file else 0,
            sha256=sha256(self.data).digest() if is_file else None,
            link=(
                link
                if self.kind == SYMLINK
                else clean_path(link)
                if self.kind == HARDLINK
                else None
            ),
            device=self.device if self.kind in (CHARACTER, BLOCK) else None,
        )


nodes = st.builds(
    Node,
    path=paths,
    kind=st.sampled_from([FILE, FILE, FILE, *TYPES]),
    mode=st.integers(0, 0o7777),
    uid=numbers,
    gid=numbers,
    data=contents,
    link=st.one_of(paths, st.just("../x"), st.just("/abs/" + "t" * 120)),
    device=devices,
)
trees = st.lists(nodes, max_size=12)
formats = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def written(tree: list[Node], form: int) -> tuple[bytes, list[Entry]]:
    """The tar, and what must be read from it: ustar cannot hold every node."""
    out = io.BytesIO()
    expected = []
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8") as tar:
        for node in tree:
            info = tarfile.TarInfo(node.path)
            info.type = TYPES[node.kind]
            info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
            info.linkname = node.link if node.kind in (SYMLINK, HARDLINK) else ""
            info.devmajor, info.devminor = node.device
            info.size = len(node.data) if node.kind == FILE else 0
            try:
                tar.addfile(info, io.BytesIO(node.data))
            except ValueError:  # ustar: a name too long, a number too large
                assert form == tarfile.USTAR_FORMAT
                continue
            expected.append(node.expected())
    return out.getvalue(), expected


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The data in pieces, cut anywhere, mostly small or at block boundaries."""
    places = st.one_of(
        st.integers(0, len(data)), st.integers(0, len(data) // 512).map(lambda n: 512 * n)
    )
    cuts = [0, *sorted(draw(st.lists(places, max_size=12))), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(cuts)]


@given(trees, formats, st.data())
def test_entries_are_those_that_were_written(
    tree: list[Node], form: int, data: st.DataObject
) -> None:
    tar, expected = written(tree, form)
    walked = attempt(data.draw(chunked(tar)))
    assert walked.error is None
    assert walked.entries == expected
    assert walked.walker.file_bytes == sum(entry.size for entry in expected)


@given(trees, formats, st.data())
def test_wanted_files_are_delivered_whole_in_every_chunking(
    tree: list[Node], form: int, data: st.DataObject
) -> None:
    tar, _ = written(tree, form)
    walked = attempt(data.draw(chunked(tar)), wishes=WISHES)
    files = [(i, e) for i, e in enumerate(walked.entries) if e.kind == FILE]
    wanted = [
        (index, entry)
        for index, entry in files
        if entry.path.split(b"/")[-1] == b"status" or entry.path.endswith(b"info")
    ]
    got = [(index, data) for who, _, index, data in walked.delivered if who == (1,)]
    assert [(i, len(d), sha256(d).digest()) for i, d in got] == [
        (i, e.size, e.sha256) for i, e in wanted
    ]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A tar with some bytes changed, blocks repeated or dropped; checksums mostly put right."""
    tar, _ = written(draw(trees), draw(formats))
    tar = tar[: 512 * 40]
    blocks = [tar[at : at + 512] for at in range(0, len(tar), 512)]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(blocks) - 1))
        match draw(st.sampled_from(["byte", "field", "repeat", "drop", "swap"])):
            case "byte":
                where = draw(st.integers(0, 511))
                value = draw(st.integers(0, 255))
                blocks[at] = blocks[at][:where] + bytes([value]) + blocks[at][where + 1 :]
            case "field":
                where = draw(st.sampled_from([0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 345]))
                value = draw(st.binary(min_size=1, max_size=12))
                blocks[at] = (blocks[at][:where] + value + blocks[at][where + len(value) :])[:512]
            case "repeat":
                blocks.insert(at, blocks[at])
            case "drop" if len(blocks) > 1:
                del blocks[at]
            case _:
                other = draw(st.integers(0, len(blocks) - 1))
                blocks[at], blocks[other] = blocks[other], blocks[at]
    if draw(st.booleans()):
        blocks = [seal(block) if block[257:262] == b"ustar" else block for block in blocks]
    return b"".join(blocks)[: draw(st.integers(0, 512 * 45))]


@given(damaged(), st.data())
def test_damage_gives_entries_or_a_named_error_the_same_in_every_chunking(
    tar: bytes, data: st.DataObject
) -> None:
    # `attempt` lets only a LayerproofError pass.
    whole = attempt([tar], wishes=WISHES, limits=LIMITS)
    cut = attempt(data.draw(chunked(tar)), wishes=WISHES, limits=LIMITS)
    assert cut.outcome == whole.outcome
    if whole.error is not None:
        assert "offset" in str(whole.error)


@given(st.lists(st.binary(max_size=2000), max_size=4))
def test_random_bytes_give_a_named_error_or_nothing(chunks: list[bytes]) -> None:
    walked = attempt(chunks)
    assert walked.error is not None or walked.entries == []
