"""Random data through gzip and zstd: any members, any chunks, any damage."""

import gzip
import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from layerproof.errors import LayerproofError
from layerproof.oci import zstd
from layerproof.oci.decompress import decompress
from layerproof.oci.limits import Limits

texts = st.one_of(
    st.binary(max_size=3000),
    st.tuples(st.binary(min_size=1, max_size=20), st.integers(0, 2000)).map(lambda t: t[0] * t[1]),
)


@st.composite
def packed(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A blob of one form in several members, and its data."""
    parts = draw(st.lists(texts, min_size=1, max_size=4))
    blob = b""
    if draw(st.booleans()):
        for part in parts:
            blob += gzip.compress(part, draw(st.sampled_from([0, 1, 6, 9])), mtime=0)
    else:
        for part in parts:
            if draw(st.booleans()):
                blob += struct.pack("<II", 0x184D2A50 + draw(st.integers(0, 15)), 3) + b"toc"
            blob += zstd.pack(part, draw(st.sampled_from([1, 3, 19])))
    return blob + bytes(draw(st.sampled_from([0, 0, 1, 700]))), b"".join(parts)


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    cuts = [0, *sorted(draw(st.lists(st.integers(0, len(data)), max_size=10))), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(cuts)]


def outcome(chunks: list[bytes]) -> object:
    try:
        return b"".join(decompress(chunks, Limits()))
    except LayerproofError as error:
        return type(error)


@given(packed(), st.data())
def test_what_was_packed_is_unpacked_in_every_chunking(
    case: tuple[bytes, bytes], data: st.DataObject
) -> None:
    blob, expected = case
    assert outcome(data.draw(cut(blob))) == expected


@given(packed(), st.data())
def test_damaged_blobs_give_data_or_a_named_error_the_same_in_every_chunking(
    case: tuple[bytes, bytes], data: st.DataObject
) -> None:
    blob = bytearray(case[0])
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(blob[: data.draw(st.integers(0, len(blob)))])
    assert outcome(data.draw(cut(damaged))) == outcome([damaged])
