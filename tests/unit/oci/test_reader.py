"""One layer read to its end: digests, sizes, time, threads."""

import gzip
import hashlib
import threading
from collections.abc import Iterator

import pytest
from tests.unit.oci.tars import END, Wishes, member, pieces

from layerproof.errors import (
    CompressionError,
    DigestMismatchError,
    LimitExceededError,
    TarError,
    UnreachableError,
)
from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor
from layerproof.oci.limits import Limits
from layerproof.oci.reader import BlobReader, read_layer, verify_blob
from layerproof.oci.tar import TarWalker

TAR = b"".join(member(b"file%d" % n, b"%d" % n * 700) for n in range(50)) + END
BLOB = gzip.compress(TAR, mtime=0)
both = pytest.mark.parametrize("threads", [False, True])


def descriptor(
    blob: bytes = BLOB, *, algorithm: str = "sha256", size: int | None = None
) -> Descriptor:
    digest = Digest(f"{algorithm}:{hashlib.new(algorithm, blob).hexdigest()}")
    return Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", digest, size or len(blob))


def a_walker() -> TarWalker:
    return TarWalker(Wishes(), lambda *_: None, Limits())


def reader_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "layerproof-decompress"]


# --- whole ---------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("chunk", [1, 77, 1 << 18])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_layer_is_read_and_every_digest_is_known(threads: bool, chunk: int, algorithm: str) -> None:
    expected = descriptor(algorithm=algorithm)
    walker = a_walker()
    blob = BlobReader(pieces(BLOB, chunk), Limits(), expected=expected)
    stream = read_layer(blob, walker, threads=threads)
    assert stream.diff_id == Digest.of(TAR)
    assert stream.blob_digest == expected.digest
    assert (stream.blob_size, stream.size) == (len(BLOB), len(TAR))
    assert len(walker.entries) == 50


@both
def test_blob_without_a_descriptor_is_identified(threads: bool) -> None:
    stream = read_layer(BlobReader([BLOB], Limits()), a_walker(), threads=threads)
    assert stream.blob_digest == Digest.of(BLOB)


def test_plain_layer_has_one_digest_for_both() -> None:
    stream = read_layer(BlobReader(pieces(TAR, 1000), Limits()), a_walker())
    assert stream.blob_digest == stream.diff_id == Digest.of(TAR)


def test_blob_is_verified_without_a_walker() -> None:
    stream = verify_blob(BlobReader([BLOB], Limits(), expected=descriptor()))
    assert stream.diff_id == Digest.of(TAR)


def test_zero_padding_behind_the_last_member_belongs_to_the_blob() -> None:
    blob = BLOB + bytes(2000)
    stream = verify_blob(BlobReader(pieces(blob, 100), Limits(), expected=descriptor(blob)))
    assert (stream.blob_size, stream.diff_id) == (len(blob), Digest.of(TAR))


@both
def test_progress_counts_the_bytes_of_the_blob(threads: bool) -> None:
    seen: list[int] = []
    blob = BlobReader(pieces(BLOB, 300), Limits(), progress=seen.append)
    read_layer(blob, a_walker(), threads=threads)
    assert seen == [*range(300, len(BLOB), 300), len(BLOB)]


# --- other bytes than promised -------------------------------------------------------------------


@both
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_other_bytes_of_the_same_size_are_refused(threads: bool, algorithm: str) -> None:
    other = gzip.compress(TAR, 1, mtime=0)
    other += bytes(2000 - len(other))  # padded with zeros, so that only the digest differs
    expected = descriptor(BLOB + bytes(2000 - len(BLOB)), algorithm=algorithm)
    blob = BlobReader([other], Limits(), expected=expected, where="img layer 0")
    with pytest.raises(DigestMismatchError, match="img layer 0: the blob's digest is"):
        read_layer(blob, a_walker(), threads=threads)


@both
def test_longer_blob_is_refused_at_its_first_byte_too_many(threads: bool) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield BLOB
        while True:
            taken += 1
            yield bytes(100)

    blob = BlobReader(endless(), Limits(), expected=descriptor())
    with pytest.raises(DigestMismatchError, match="longer than the"):
        read_layer(blob, a_walker(), threads=threads)
    assert taken == 1


@both
def test_shorter_blob_is_refused_even_when_it_is_a_whole_gzip(threads: bool) -> None:
    blob = BlobReader([BLOB], Limits(), expected=descriptor(BLOB + bytes(5)))
    with pytest.raises(DigestMismatchError, match=f"has {len(BLOB)} bytes"):
        read_layer(blob, a_walker(), threads=threads)


@both
def test_cut_blob_is_refused(threads: bool) -> None:
    blob = BlobReader([BLOB[:-300]], Limits(), expected=descriptor())
    with pytest.raises(CompressionError, match="truncated"):
        read_layer(blob, a_walker(), threads=threads)


def test_empty_blob_is_an_empty_layer_only_if_it_was_promised() -> None:
    assert read_layer(BlobReader([], Limits()), a_walker()).size == 0
    with pytest.raises(DigestMismatchError):
        read_layer(BlobReader([], Limits(), expected=descriptor()), a_walker())


# --- bounds --------------------------------------------------------------------------------------


def test_blob_over_the_cap_is_refused_whatever_its_descriptor_says() -> None:
    for expected in (None, descriptor()):
        blob = BlobReader(pieces(BLOB, 100), Limits(blob_bytes=500), expected=expected)
        with pytest.raises(LimitExceededError) as caught:
            verify_blob(blob)
        assert caught.value.limit == "blob_bytes"


@both
def test_slow_source_is_given_up_at_the_deadline(threads: bool) -> None:
    now = 0.0

    def monotonic() -> float:
        nonlocal now
        now += 1.0
        return now

    blob = BlobReader(
        pieces(BLOB, 100), Limits(layer_seconds=5), monotonic=monotonic, where="img layer 3"
    )
    with pytest.raises(LimitExceededError, match=r"img layer 3: .*longer than 5 s") as caught:
        read_layer(blob, a_walker(), threads=threads)
    assert caught.value.limit == "layer_seconds"
    assert now < 10


# --- threads -------------------------------------------------------------------------------------


@both
def test_error_of_the_source_reaches_the_caller(threads: bool) -> None:
    def failing() -> Iterator[bytes]:
        yield BLOB[:100]
        raise UnreachableError("connection lost")

    with pytest.raises(UnreachableError, match="connection lost"):
        read_layer(BlobReader(failing(), Limits()), a_walker(), threads=threads)
    assert reader_threads() == []


@both
def test_interrupt_in_the_source_reaches_the_caller(threads: bool) -> None:
    def interrupted() -> Iterator[bytes]:
        yield BLOB[:100]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_layer(BlobReader(interrupted(), Limits()), a_walker(), threads=threads)
    assert reader_threads() == []


@pytest.mark.parametrize("ahead", [0, 1, 2, 3, 4, 5, 50])
def test_error_of_the_walker_ends_the_thread(ahead: int) -> None:
    """Whether the thread has room left, waits for room, or is done."""
    closed = threading.Event()

    def source() -> Iterator[bytes]:
        try:
            yield b"\x01" * 1024  # no tar
            for _ in range(ahead):
                yield bytes(512)
        finally:
            closed.set()

    with pytest.raises(TarError):
        read_layer(BlobReader(source(), Limits()), a_walker(), threads=True)
    assert reader_threads() == []
    assert closed.wait(5)


def test_source_is_read_only_so_far_ahead() -> None:
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for piece in pieces(TAR, 2048):
            taken += 1
            yield piece

    most = 0

    class Slow(TarWalker):
        fed = 0

        def feed(self, chunk: bytes) -> None:
            nonlocal most
            self.fed += 1
            most = max(most, taken - self.fed)
            super().feed(chunk)

    walker = Slow(Wishes(), lambda *_: None, Limits())
    read_layer(BlobReader(source(), Limits()), walker, threads=True)
    assert taken == walker.fed
    assert most <= 6


def test_no_thread_is_left_after_success() -> None:
    read_layer(BlobReader([BLOB], Limits()), a_walker(), threads=True)
    assert reader_threads() == []
