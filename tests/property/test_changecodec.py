"""Whatever changes there are come back as they were; whatever bytes there are end in our error."""

import contextlib
import zlib

from hypothesis import given
from hypothesis import strategies as st

from layerproof.errors import IndexUnavailableError
from layerproof.model.change import Change, ChangeKind, ChangeSet
from layerproof.model.entry import Entry
from layerproof.oci.changecodec import decode, encode

raw = st.binary(max_size=12)
ids = st.integers(0, 2**63)
kinds = st.sampled_from(list(ChangeKind))
entries = st.builds(
    Entry,
    path=raw,
    kind=st.integers(0, 255),
    mode=st.integers(0, 0o7777),
    uid=ids,
    gid=ids,
    size=st.integers(0, 2**64 - 1),
    sha256=st.none() | st.binary(min_size=32, max_size=32),
    link=st.none() | raw,
    xattrs=st.dictionaries(st.text(max_size=5), raw, max_size=2),
    device=st.none() | st.tuples(ids, ids),
)
changes = st.builds(
    Change,
    kind=kinds,
    path=raw,
    before=st.none() | entries,
    after=st.none() | entries,
    cause=st.text(max_size=5),
    by=raw,
    target=raw,
    hidden=st.integers(0, 2**32 - 1),
)
change_sets = st.builds(
    ChangeSet,
    counts=st.dictionaries(kinds, ids),
    changes=st.lists(changes, max_size=6).map(tuple),
    absent_whiteouts=ids,
)


@given(change_sets)
def test_changes_come_back_as_they_were(found: ChangeSet) -> None:
    assert decode(encode(found)) == found


@given(st.binary(max_size=200))
def test_any_bytes_end_in_our_error(data: bytes) -> None:
    head = b"LPC1" + zlib.crc32(data).to_bytes(4, "little")
    for blob in (data, head + data):
        with contextlib.suppress(IndexUnavailableError):
            decode(blob)


@given(change_sets, st.data())
def test_any_damage_behind_a_right_checksum_ends_in_our_error(
    found: ChangeSet, data: st.DataObject
) -> None:
    body = bytearray(encode(found)[8:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    blob = b"LPC1" + zlib.crc32(body).to_bytes(4, "little") + bytes(body)
    with contextlib.suppress(IndexUnavailableError):
        decode(blob)
