"""Header blocks: checksums and numbers, honest and hostile."""

import struct

import pytest
from tests.unit.oci.tars import (
    END,
    GNU,
    USTAR,
    V7,
    attempt,
    base256,
    entries,
    header,
    member,
    only,
    seal,
    walk,
)

from layerproof.errors import TarError
from layerproof.model.entry import FILE
from layerproof.oci import tarheader as th
from layerproof.oci.entrycodec import decode, encode


def with_bytes(block: bytes, at: int, value: bytes) -> bytes:
    return block[:at] + value + block[at + len(value) :]


# --- checksum ------------------------------------------------------------------------------------


def test_wrong_checksum_is_refused_with_the_offset() -> None:
    good = member(b"first", b"x")
    bad = with_bytes(header(b"second"), 0, b"S")
    with pytest.raises(TarError, match=r"bad header checksum.*at offset 1024") as caught:
        walk(good + bad + END)
    assert caught.value.offset == 1024


@pytest.mark.parametrize(
    "field",
    [b"%06o\x00 ", b"%07o\x00", b" %06o\x00", b"%06o  ", b"\x00%06o\x00", b"%08o"],
    ids=["posix", "seven digits", "leading space", "no NUL", "leading NUL", "no end"],
)
def test_checksum_is_read_in_every_spelling(field: bytes) -> None:
    block = header(b"name")
    total = int(block[148:154], 8)
    assert only(with_bytes(block, 148, field % total)).path == b"name"


@pytest.mark.parametrize(
    "field", [b"-1      ", b"0x12345 ", b"9999999\x00", b"\x80\x00\x00\x00\x00\x00\x10\x00"]
)
def test_checksum_that_is_no_octal_number_is_refused(field: bytes) -> None:
    with pytest.raises(TarError, match="bad header checksum"):
        walk(with_bytes(header(), 148, field) + END)


def test_empty_checksum_of_a_block_that_is_not_empty_is_refused() -> None:
    with pytest.raises(TarError, match="bad header checksum"):
        walk(with_bytes(header(), 148, bytes(8)) + END)


def test_signed_checksum_of_old_writers_is_accepted() -> None:
    block = seal(header("é".encode() * 20), signed=True)
    assert block != header("é".encode() * 20)
    assert only(block).path == "é".encode() * 20


def test_checksum_that_is_right_modulo_65521_only_is_refused() -> None:
    """Adler-32 counts modulo 65521, and a header of high bytes can go over it."""
    block = header(b"\xff" * 100, link=b"\xff" * 100, tail=b"\xff" * 155)
    assert sum(block) > 65_521
    assert only(block).path == b"\xff" * 155 + b"/" + b"\xff" * 100
    declared = int(block[148:154], 8) - 65_521
    forged = with_bytes(block, 148, b"%06o\x00 " % declared)
    with pytest.raises(TarError, match="bad header checksum"):
        walk(forged + END)


def test_quick_checksum_agrees_with_the_exact_one_for_every_sum() -> None:
    table = th.ChecksumTable()
    block = header(b"name")
    for total in range(0, 70_000, 7):
        forged = with_bytes(block, 148, b"%06o\x00 " % total)
        quick = th.ascii_sum(forged) == table[forged[148:156]]
        assert quick == th.checksum_holds(forged)


def test_damaged_bit_is_never_accepted_as_another_entry() -> None:
    whole = member(b"a/name", b"data", mode=0o755, uid=7) + END
    expected = entries(whole)
    for bit in range(512 * 8):
        at, mask = divmod(bit, 8)
        damaged = with_bytes(whole, at, bytes([whole[at] ^ (1 << mask)]))
        walked = attempt([damaged])
        # A flipped bit in the checksum's own padding may leave its value as it was.
        assert walked.error is not None or (148 <= at < 156 and walked.entries == expected)


@pytest.mark.parametrize("magic", [USTAR, GNU, V7])
@pytest.mark.parametrize("kind", [b"0", b"\x00", b"1", b"2", b"3", b"5", b"S", b"x", b"L"])
def test_forged_byte_in_a_sealed_header_gives_an_entry_or_a_named_error(
    magic: bytes, kind: bytes
) -> None:
    whole = header(b"a/name", kind, size=4, link=b"t", magic=magic)
    follower = member(b"next") if kind in (b"x", b"L") else b""
    fields = (0, 99, 100, 107, 108, 116, 124, 135, 136, 156, 157, 257, 263, 264, 265, 329, 337)
    for at in (*fields, 345, 357, 386, 398, 410, 482, 483, 494, 500, 504, 508):
        for value in (0x00, 0x20, 0x2F, 0x38, 0x80, 0xC0, 0xFF):
            block = seal(with_bytes(whole, at, bytes([value])))
            attempt([block, b"data", bytes(508), follower, END])  # no other exception


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\x00", 0o644),
        (b"   644 \x00", 0o644),
        (b"\x00\x00644\x00\x00\x00", 0o644),
        (b"644\x00junk", 0o644),
        (b"", 0),
        (b"        ", 0),
        (base256(5, 8), 5),
        (base256(-1, 8), -1),
        (base256(2**62 - 1, 8), 2**62 - 1),
        (base256(2**63 - 1, 12), 2**63 - 1),
        (base256(-(2**63), 12), -(2**63)),
    ],
)
def test_number_is_read_as_gos_archive_tar_reads_it(field: bytes, value: int) -> None:
    assert th.number(field.ljust(8, b"\x00"), "number", 0) == value


@pytest.mark.parametrize(
    "field",
    [
        b"-1",
        b"8",
        b"0x1",
        b"6 4",
        b"1.5",
        base256(2**63, 12),
        base256(-(2**63) - 1, 12),
    ],
)
def test_malformed_number_is_refused(field: bytes) -> None:
    with pytest.raises(TarError, match="offset 77"):
        th.number(field.ljust(8, b"\x00"), "number", 77)


@pytest.mark.parametrize("field", ["mode", "uid", "gid", "size", "mtime"])
@pytest.mark.parametrize("kind", [b"0", b"5", b"2", b"x", b"L"])
def test_malformed_field_is_refused_in_every_type(field: str, kind: bytes) -> None:
    with pytest.raises(TarError, match=rf"{field} is not a number.*at offset 512"):
        walk(member(b"before") + header(b"a", kind, **{field: b"9z"}) + END)


@pytest.mark.parametrize("magic", [USTAR, GNU])
def test_malformed_device_number_is_refused_even_in_a_file(magic: bytes) -> None:
    with pytest.raises(TarError, match="device minor is not a number"):
        walk(header(magic=magic, device=(0, b"zz")) + END)


def test_seventh_edition_header_has_no_device_numbers_to_be_wrong() -> None:
    block = seal(with_bytes(header(magic=V7, kind=b"3"), 329, b"zz"))
    assert only(block).device == (0, 0)


@pytest.mark.parametrize("device", [(base256(-1, 8), 0), (0, base256(2**32, 8))])
def test_device_number_outside_32_bits_is_refused(device: tuple[int | bytes, int | bytes]) -> None:
    with pytest.raises(TarError, match="device number outside 32 bits"):
        walk(header(b"null", b"3", device=device) + END)


def test_device_node_keeps_its_numbers() -> None:
    entry = only(header(b"dev/null", b"3", device=(1, base256(2**32 - 1, 8))))
    assert entry.device == (1, 2**32 - 1)
    assert only(header(b"dev/sda", b"4", device=(8, 0))).device == (8, 0)


# --- sizes ---------------------------------------------------------------------------------------


def test_negative_size_is_refused() -> None:
    with pytest.raises(TarError, match="negative size"):
        walk(header(size=base256(-512, 12)) + END)


def test_size_beyond_63_bits_is_refused() -> None:
    with pytest.raises(TarError, match="size does not fit"):
        walk(header(size=base256(2**63, 12)) + END)


def test_largest_size_is_a_file_that_never_comes() -> None:
    with pytest.raises(TarError, match=r"ends inside a file \(at offset 0\)"):
        walk(header(size=base256(2**63 - 1, 12)) + END)


def test_size_in_base_256_counts() -> None:
    entry = only(header(size=base256(3, 12)) + b"abc" + bytes(509))
    assert (entry.size, entry.kind) == (3, FILE)


# --- owners and modes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "effective"),
    [
        (1000, 1000),
        (2**31, 2**31),
        (2**32 - 2, 2**32 - 2),
        (-2, 2**32 - 2),
        (2**32, 0),  # chown keeps 32 bits: root
        (2**32 + 1000, 1000),
        (2**32 - 1, 0),  # chown leaves the owner, who is root
        (-1, 0),
        (-(2**62), 0),
        (2**62, 0),
    ],
)
def test_owner_is_the_one_that_chown_would_set(stated: int, effective: int) -> None:
    entry = only(header(uid=base256(stated, 8), gid=base256(stated, 8)))
    assert (entry.uid, entry.gid) == (effective, effective)


def test_every_owner_fits_the_entry_codec() -> None:
    hostile = [base256(value, 8) for value in (-(2**62), -1, 2**62, 2**32 - 2)]
    tar = b"".join(header(b"a", uid=uid, gid=gid, mode=uid) for uid in hostile for gid in hostile)
    table = walk(tar + END).walker.entries
    try:
        assert list(decode(encode(table))) == list(table)
    except struct.error as error:  # pragma: no cover
        pytest.fail(str(error))


@pytest.mark.parametrize(
    ("stated", "kept"),
    [(0o100755, 0o755), (0o4755, 0o4755), (0o7777777, 0o7777), (base256(-1, 8), 0o7777)],
)
def test_only_permission_bits_of_the_mode_are_kept(stated: int | bytes, kept: int) -> None:
    assert only(header(mode=stated)).mode == kept


# --- prefixes ------------------------------------------------------------------------------------


def test_ustar_prefix_comes_before_the_name() -> None:
    assert only(header(b"name", tail=b"some/prefix")).path == b"some/prefix/name"


def test_full_ustar_prefix_and_name_without_an_end_are_read_whole() -> None:
    assert only(header(b"n" * 100, tail=b"p" * 155)).path == b"p" * 155 + b"/" + b"n" * 100


def test_star_prefix_ends_where_its_times_begin() -> None:
    tail = b"p" * 131 + b"00000000017\x00" + b"00000000021\x00" + bytes(8) + b"tar\x00"
    assert only(header(b"name", tail=tail)).path == b"p" * 131 + b"/name"


def test_malformed_time_in_a_star_header_is_refused() -> None:
    tail = bytes(131) + b"zz".ljust(12, b"\x00") + bytes(20) + b"tar\x00"
    with pytest.raises(TarError, match="atime is not a number"):
        walk(header(b"before") + header(b"name", tail=tail) + END)


def test_prefix_of_a_seventh_edition_header_is_no_name() -> None:
    assert only(header(b"name", magic=V7, tail=b"ignored")).path == b"name"


def test_gnu_times_are_no_name() -> None:
    tail = b"00000000017\x00" + b"00000000021\x00"
    assert only(header(b"name", magic=GNU, tail=tail)).path == b"name"


def test_gnu_header_with_a_name_in_place_of_its_times_is_read_as_go_does() -> None:
    """Go once wrote such headers, and still reads them so: anything else would hide the path."""
    assert only(header(b"name", magic=GNU, tail=b"usr/bin")).path == b"usr/bin/name"
    assert only(header(b"name", magic=GNU, tail=b"caf\xe9")).path == b"name"
    late = bytes(12) + b"zz"
    assert only(header(b"name", magic=GNU, tail=late)).path == b"name"
