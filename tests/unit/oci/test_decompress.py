"""Compressed layers: whole, cut, damaged, bombs."""

import gzip
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.oci.tars import pieces

from layerproof.errors import CompressionError, LimitExceededError
from layerproof.oci import zstd
from layerproof.oci.decompress import PIECE, compression, decompress
from layerproof.oci.limits import Limits

DATA = random.Random(1).randbytes(2500) + b"text " * 500
GZIP = gzip.compress(DATA, mtime=0)
ZSTD = zstd.pack(DATA)


def skippable(content: bytes, nibble: int = 0) -> bytes:
    """RFC 8878 section 3.1.2."""
    return struct.pack("<II", 0x184D2A50 + nibble, len(content)) + content


def member(data: bytes = DATA, *, flags: int = 0, extra: bytes = b"") -> bytes:
    """A gzip member with the header fields that `flags` announces (RFC 1952 section 2.3)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush()
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + extra
    if flags & 2:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    return head + body + struct.pack("<II", zlib.crc32(data), len(data))


def unpack(blob: bytes, *, chunk: int = 1 << 18, limits: Limits | None = None) -> bytes:
    return b"".join(decompress(pieces(blob, chunk), limits or Limits()))


# --- forms ---------------------------------------------------------------------------------------


def test_form_is_told_by_the_first_bytes() -> None:
    assert compression(GZIP) == "gzip"
    assert compression(ZSTD) == "zstd"
    assert compression(skippable(b"", 15)) == "zstd"
    assert compression(b"etc/passwd") == "none"
    assert compression(b"") == "none"


def test_plain_data_passes_as_it_is() -> None:
    assert list(decompress([b"ab", b"", b"c" * 3000], Limits())) == [b"ab" + b"c" * 3000]
    assert unpack(b"") == b""
    assert unpack(b"a", chunk=1) == b"a"


@pytest.mark.parametrize(
    "blob", [b"BZh91AY&SY" + bytes(20), b"BZh11AY&SY", b"\xfd7zXZ\x00" + bytes(20)]
)
def test_bzip2_and_xz_are_refused_by_name(blob: bytes) -> None:
    for chunk in (1, 1000):
        with pytest.raises(CompressionError, match="bzip2 or xz"):
            unpack(blob, chunk=chunk)


def test_tar_whose_first_name_looks_like_bzip2_is_a_tar() -> None:
    assert unpack(b"BZh9.txt" + bytes(600)) == b"BZh9.txt" + bytes(600)


# --- gzip ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 100, 1 << 18])
@pytest.mark.parametrize(
    ("blob", "data"),
    [
        pytest.param(GZIP, DATA, id="one member"),
        pytest.param(GZIP + GZIP, DATA + DATA, id="two members"),
        pytest.param(GZIP + gzip.compress(b"") + GZIP, DATA + DATA, id="empty member between"),
        pytest.param(gzip.compress(b""), b"", id="empty member alone"),
        pytest.param(GZIP + bytes(1), DATA, id="a zero behind"),
        pytest.param(GZIP + GZIP + bytes(5000), DATA + DATA, id="zeros behind"),
        pytest.param(member(flags=1), DATA, id="FTEXT"),
        pytest.param(member(flags=2), DATA, id="FHCRC"),
        pytest.param(member(flags=4, extra=b"\x03\x00abc"), DATA, id="FEXTRA"),
        pytest.param(member(flags=8, extra=b"name\x00"), DATA, id="FNAME"),
        pytest.param(member(flags=16, extra=b"comment\x00"), DATA, id="FCOMMENT"),
        pytest.param(member(flags=31, extra=b"\x00\x00n\x00c\x00"), DATA, id="all of them"),
        pytest.param(GZIP + member(flags=31, extra=b"\x00\x00n\x00c\x00"), DATA * 2, id="second"),
    ],
)
def test_gzip_is_unpacked_whatever_the_chunks(blob: bytes, data: bytes, chunk: int) -> None:
    assert unpack(blob, chunk=chunk) == data


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("chunk", [13, 1000, 1 << 18])
def test_gzip_of_every_level_is_unpacked(level: int, chunk: int) -> None:
    data = DATA * 20
    assert unpack(gzip.compress(data, level), chunk=chunk) == data


@pytest.mark.parametrize("chunk", [64, 1 << 18])
@pytest.mark.parametrize("blob", [GZIP, GZIP + GZIP, member(flags=31, extra=b"\x00\x00n\x00c\x00")])
def test_gzip_cut_anywhere_is_refused(blob: bytes, chunk: int) -> None:
    for length in range(2, len(blob)):
        if length == len(GZIP):
            continue  # the end of the first member of two: the digest tells
        with pytest.raises(CompressionError, match=r"truncated gzip|behind the end"):
            unpack(blob[:length], chunk=chunk)


@pytest.mark.parametrize("junk", [b"x", b"\x1f", b"\x00\x00x", b"tar" * 500, ZSTD, b"\x1e\x8b" * 9])
def test_junk_behind_gzip_is_refused(junk: bytes) -> None:
    for chunk in (1, 1 << 18):
        with pytest.raises(CompressionError, match="behind the end of the gzip stream"):
            unpack(GZIP + junk, chunk=chunk)


def test_zeros_then_another_member_are_refused() -> None:
    with pytest.raises(CompressionError, match="behind the end"):
        unpack(GZIP + bytes(600) + GZIP, chunk=100)


@pytest.mark.parametrize("at", [-8, -5, -4, -1], ids=["crc", "crc end", "size", "size end"])
def test_wrong_gzip_trailer_is_refused(at: int) -> None:
    damaged = bytearray(GZIP)
    damaged[at] ^= 0x10
    with pytest.raises(CompressionError, match="damaged gzip"):
        unpack(bytes(damaged))


def test_wrong_gzip_header_checksum_is_refused() -> None:
    damaged = bytearray(member(flags=2))
    damaged[10] ^= 1
    with pytest.raises(CompressionError, match="damaged gzip"):
        unpack(bytes(damaged))


def test_gzip_of_an_unknown_method_is_refused() -> None:
    with pytest.raises(CompressionError, match="damaged gzip"):
        unpack(b"\x1f\x8b\x07" + GZIP[3:])


def test_damaged_gzip_is_refused_or_unchanged() -> None:
    for at in range(2, len(GZIP)):
        for mask in (1, 0x80):
            damaged = bytearray(GZIP)
            damaged[at] ^= mask
            try:
                assert unpack(bytes(damaged)) == DATA  # a header byte that means nothing
                assert at < 10
            except CompressionError:
                pass


# --- zstd ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 100, 1 << 18])
@pytest.mark.parametrize(
    ("blob", "data"),
    [
        pytest.param(ZSTD, DATA, id="one frame"),
        pytest.param(ZSTD + ZSTD, DATA + DATA, id="two frames"),
        pytest.param(zstd.pack(b""), b"", id="empty frame"),
        pytest.param(skippable(b"hello") + ZSTD, DATA, id="skippable first"),
        pytest.param(ZSTD + skippable(b"toc", 15), DATA, id="skippable last"),
        pytest.param(ZSTD + skippable(b"") + ZSTD, DATA + DATA, id="skippable between"),
        pytest.param(skippable(b"x" * 70_000) * 2 + ZSTD, DATA, id="large skippable"),
        pytest.param(ZSTD + bytes(600), DATA, id="zeros behind"),
    ],
)
def test_zstd_is_unpacked_whatever_the_chunks(blob: bytes, data: bytes, chunk: int) -> None:
    assert unpack(blob, chunk=chunk) == data


@pytest.mark.parametrize("blob", [ZSTD, ZSTD + skippable(b"toc"), skippable(b"head") + ZSTD])
def test_zstd_cut_anywhere_is_refused(blob: bytes) -> None:
    frame_ends = {len(ZSTD), len(skippable(b"head"))}  # where only the digest can tell
    for length in range(4, len(blob)):
        if length not in frame_ends:
            with pytest.raises(CompressionError, match=r"truncated zstd|behind the end"):
                unpack(blob[:length])


@pytest.mark.parametrize("junk", [b"x", b"\x28\xb5", b"\x00x", GZIP])
def test_junk_behind_zstd_is_refused(junk: bytes) -> None:
    with pytest.raises(CompressionError, match="behind the end of the zstd stream"):
        unpack(ZSTD + junk)


def test_zstd_with_a_window_over_the_cap_is_refused() -> None:
    # Frame header by hand (RFC 8878 section 3.1.1.1): no checksum, a window of 2^28 bytes.
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, (28 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(LimitExceededError) as caught:
        unpack(frame)
    assert caught.value.limit == "zstd_window"
    assert unpack(frame, limits=Limits(zstd_window=1 << 28)) == b""


def test_damaged_zstd_is_refused() -> None:
    damaged = bytearray(ZSTD)
    damaged[8] ^= 0xFF
    with pytest.raises(CompressionError, match="damaged zstd"):
        unpack(bytes(damaged) + b"\xff" * 20)


def test_zstd_frame_that_needs_a_dictionary_is_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd" + bytes([1, 0x58, 7]) + b"\x01\x00\x00"
    with pytest.raises(CompressionError, match="damaged zstd"):
        unpack(frame)


# --- bombs ---------------------------------------------------------------------------------------


def zeros(form: str, mebibytes: int) -> Iterator[bytes]:
    """A blob of so many MiB of zeros, in members or frames of 16 MiB."""
    one = gzip.compress(bytes(16 << 20)) if form == "gzip" else zstd.pack(bytes(16 << 20))
    for _ in range(mebibytes // 16):
        yield one


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_bomb_is_stopped_by_its_ratio(form: str) -> None:
    limits = Limits(ratio=400, ratio_floor=20 << 20)
    seen: list[int] = []
    with pytest.raises(LimitExceededError) as caught:
        seen.extend(map(len, decompress(zeros(form, 160), limits)))
    assert caught.value.limit == "ratio"
    assert max(seen) <= PIECE
    assert sum(seen) <= limits.ratio_floor + PIECE


@pytest.mark.parametrize("form", ["gzip", "zstd", "none"])
def test_layer_over_the_cap_is_stopped(form: str) -> None:
    limits = Limits(layer_bytes=20 << 20, ratio=1 << 30)
    blob = iter([bytes(1 << 20)] * 30) if form == "none" else zeros(form, 160)
    seen: list[int] = []
    with pytest.raises(LimitExceededError) as caught:
        seen.extend(map(len, decompress(blob, limits)))
    assert caught.value.limit == "layer_bytes"
    assert sum(seen) <= limits.layer_bytes


def test_well_packed_small_layer_is_no_bomb() -> None:
    assert len(unpack(gzip.compress(bytes(32 << 20)))) == 32 << 20


MEASURE = """
import sys
from tests.unit.oci.test_decompress import zeros
from layerproof.errors import LimitExceededError
from layerproof.oci.decompress import decompress
from layerproof.oci.limits import Limits

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

limits = Limits(ratio=1 << 30, layer_bytes=700 << 20)
blob = list(zeros(sys.argv[1], 1024))
for piece in decompress(blob[:1], limits):
    pass
before = peak()
try:
    for piece in decompress(blob, limits):
        pass
except LimitExceededError as error:
    print(error.limit, peak() - before)
"""


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_bomb_takes_no_memory(form: str) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc, which this system lacks")
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, form],
        cwd=root, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    limit, kibibytes = done.stdout.split()
    assert limit == "layer_bytes"
    assert int(kibibytes) < 8 << 10
