"""What every `oci.digests.TarDigests` promises: the digests of hashlib, however the bytes come."""

from hashlib import md5, sha1, sha256
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layerproof import native
from layerproof.oci.digests import BEGIN, CHECK, END, MakeDigests, PlainDigests, TarDigests

NATIVE = native.digests()
MAKERS = [
    PlainDigests,
    pytest.param(
        NATIVE,
        marks=pytest.mark.skipif(
            NATIVE is PlainDigests, reason="the native part is not built here"
        ),
    ),
]
both = pytest.mark.parametrize("make", MAKERS)


class File(NamedTuple):
    """A file of a made tar: blocks of 512 bytes before it, size, whether all digests are asked."""

    gap: int
    size: int
    check: bool


# sizes around the ends of digest blocks (64) and of tar blocks (512)
sizes = st.sampled_from((0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 511, 512, 513)) | st.integers(
    0, 3000
)
files = st.lists(st.builds(File, st.integers(0, 2), sizes, st.booleans()), max_size=8)


def layout(wanted: list[File]) -> tuple[bytes, list[tuple[int, int, bool]]]:
    """Some bytes, and where the files lie in them."""
    places, position = [], 0
    for file in wanted:
        start = position + 512 * file.gap
        places.append((start, start + file.size, file.check))
        position = start + (file.size + 511) // 512 * 512
    data = b"".join(sha256(b"%d" % n).digest() for n in range(position // 32 + 1))
    return data[: position + 20], places


def spans_of(places: list[tuple[int, int, bool]], start: int, stop: int) -> list[int]:
    """The spans of data[start:stop], relative to it."""
    spans: list[int] = []
    for begin, end, check in places:
        empty_here = begin == end and start <= begin < stop
        low, high = max(begin, start), min(end, stop)
        if low < high or empty_here:
            flags = BEGIN * (low == begin) | END * (high == end) | CHECK * check
            spans += (low - start, high - start, flags)
    return spans


def take(digests: TarDigests, data: bytes, places: list[tuple[int, int, bool]], chunk: int) -> None:
    for start in range(0, len(data), chunk):
        stop = min(start + chunk, len(data))
        # what is behind `stop` is in the chunk, too, and must be left alone
        digests.update(data[start:] + b"rest", stop - start, spans_of(places, start, stop))


@both
@given(wanted=files, chunk=st.integers(1, 5000))
@example(wanted=[File(0, 0, True)] * 5, chunk=512)
@example(wanted=[File(1, 64, True), File(0, 56, False)], chunk=1)
def test_digests_are_those_of_hashlib_however_the_bytes_are_cut(
    make: MakeDigests, wanted: list[File], chunk: int
) -> None:
    data, places = layout(wanted)
    digests = make()
    take(digests, data, places, chunk)
    contents = [data[start:stop] for start, stop, _ in places]
    assert digests.files == b"".join(sha256(c).digest() for c in contents)
    assert digests.checks == b"".join(
        md5(c, usedforsecurity=False).digest() + sha1(c, usedforsecurity=False).digest()
        for c, (_, _, check) in zip(contents, places, strict=True)
        if check
    )
    assert digests.diff_id() == "sha256:" + sha256(data).hexdigest()


@both
def test_many_files_in_one_chunk(make: MakeDigests) -> None:
    data, places = layout([File(0, 3, n % 2 == 0) for n in range(3000)])
    digests = make()
    digests.update(data, len(data), spans_of(places, 0, len(data)))
    assert len(digests.files) == 32 * 3000
    assert digests.files[-32:] == sha256(data[places[-1][0] : places[-1][1]]).digest()
    assert len(digests.checks) == 36 * 1500


@both
def test_the_digest_of_nothing(make: MakeDigests) -> None:
    assert make().diff_id() == "sha256:" + sha256().hexdigest()


@pytest.mark.skipif(NATIVE is PlainDigests, reason="the native part is not built here")
@pytest.mark.parametrize(
    "spans",
    [
        [0, 65, BEGIN | END],  # behind the end
        [10, 5, BEGIN | END],  # backwards
        [0, 10, BEGIN | END, 5, 20, BEGIN | END],  # overlapping
        [0, 10, END],  # goes on with no file
        [0, 10, BEGIN],  # open, and yet followed by other bytes
        [3, 10, BEGIN | END],  # not where file data may begin
    ],
)
def test_the_native_part_refuses_spans_that_are_none(spans: list[int]) -> None:
    with pytest.raises(AssertionError, match="spans"):
        NATIVE().update(bytes(64), 64, spans)


def test_without_a_library_the_plain_way_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    native._library.cache_clear()
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "_kernel.so")
    try:
        assert native.digests() is PlainDigests
        (tmp_path / "_kernel.so").write_bytes(b"no library")
        native._library.cache_clear()
        assert native.digests() is PlainDigests
    finally:
        native._library.cache_clear()


def test_it_can_be_switched_off() -> None:
    assert native.digests(native=False) is PlainDigests
