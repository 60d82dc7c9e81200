"""Changes as bytes, and back."""

import json
import time
import zlib
from hashlib import sha256

import pytest
from tests.unit.oci.tables import device, file, folder, hardlink, program, symlink

from layerproof.errors import IndexUnavailableError
from layerproof.model.change import Cause, Change, ChangeKind, ChangeSet
from layerproof.model.entry import FILE, Entry
from layerproof.oci.changecodec import decode, encode

CHANGES = ChangeSet(
    {ChangeKind.ADDED: 1 << 40, ChangeKind.REPLACED: 1},
    (
        Change(ChangeKind.REPLACED, b"a", program("a", "1"), program("a", "2")),
        Change(ChangeKind.DELETED, b"a/b\xff\n", folder("a/b\xff"), None, Cause.WHITEOUT, hidden=7),
        Change(
            ChangeKind.REDIRECTED,
            b"bin/ls",
            file("usr/bin/ls", "1", xattrs={"security.capability": b"\0\1", "user.\udc80": b""}),
            file("bin/ls", "1"),
            Cause.SYMLINKED_PARENT,
            b"bin",
            b"usr/bin/ls",
        ),
        Change(ChangeKind.ADDED, b"dev/x", None, device("dev/x", 5, 1 << 40), Cause.DEVICE),
        Change(ChangeKind.ADDED, b"h", None, hardlink("h", "gone"), Cause.MISSING_HARDLINK),
        Change(ChangeKind.REDIRECTED, b"l", folder("l"), symlink("l", ""), "another cause"),
        Change(ChangeKind.REDIRECTED, b"none", None, None),
    ),
    3,
)


def changed_owner(count: int) -> ChangeSet:
    """As `chown -R` leaves it: the same contents, no two files alike."""
    changes = []
    for n in range(count):
        path = b"usr/lib/python3/dist-packages/package_%d/module_%d.py" % (n // 20, n)
        digest = sha256(path).digest()
        before = Entry(path, FILE, 0o644, 0, 0, n * 7919 % 100_000, digest, None)
        after = Entry(path, FILE, 0o644, 1000, 1000, before.size, digest, None)
        changes.append(Change(ChangeKind.ATTRIBUTES, path, before, after))
    return ChangeSet({ChangeKind.ATTRIBUTES: count}, tuple(changes))


def test_every_field_comes_back() -> None:
    assert decode(encode(CHANGES)) == CHANGES


def test_no_changes_come_back_as_none() -> None:
    assert decode(encode(ChangeSet())) == ChangeSet()


def test_the_same_changes_give_the_same_bytes() -> None:
    assert encode(decode(encode(CHANGES))) == encode(CHANGES)


def test_50000_files_of_another_owner_stay_below_two_megabytes() -> None:
    assert len(encode(changed_owner(50_000))) < 2_000_000


def test_1000_changes_decode_quickly() -> None:
    blob = encode(changed_owner(1000))
    took = []
    for _ in range(5):
        start = time.process_time()
        decode(blob)
        took.append(time.process_time() - start)
    assert min(took) < 0.05  # ten times what it takes


@pytest.mark.parametrize("length", [0, 3, 7, 8, 12, 50, -1])
def test_cut_blob_is_a_damaged_index(length: int) -> None:
    with pytest.raises(IndexUnavailableError, match="do not decode"):
        decode(encode(CHANGES)[:length])


def test_any_flipped_byte_is_a_damaged_index() -> None:
    blob = encode(CHANGES)
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 0x10
        with pytest.raises(IndexUnavailableError):
            decode(bytes(damaged))


def test_bytes_after_the_end_are_a_damaged_index() -> None:
    with pytest.raises(IndexUnavailableError):
        decode(encode(CHANGES) + b"\0")


def with_checksum(*sections: bytes) -> bytes:
    body = b"".join(len(s).to_bytes(4, "little") + s for s in sections)
    return b"LPC1" + zlib.crc32(body).to_bytes(4, "little") + body


def sections_of(blob: bytes) -> list[bytes]:
    found, position = [], 8
    while position < len(blob):
        length = int.from_bytes(blob[position : position + 4], "little")
        found.append(blob[position + 4 : position + 4 + length])
        position += 4 + length
    return found


RARE = {"counts": {}, "absentWhiteouts": 0, "causes": [], "owners": [], "xattrs": {}, "devices": {}}


@pytest.mark.parametrize(
    "rare",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        json.dumps(RARE).encode(),
        json.dumps({**RARE, "counts": {"no kind": 1}}).encode(),
        json.dumps({**RARE, "owners": [[1, 2, "3"]]}).encode(),
        json.dumps({**RARE, "absentWhiteouts": None}).encode(),
        json.dumps({**RARE, "xattrs": [], "devices": 3}).encode(),
    ],
)
def test_crafted_facts_with_a_right_checksum_are_a_damaged_index(rare: bytes) -> None:
    columns, digests, _ = sections_of(encode(CHANGES))
    with pytest.raises(IndexUnavailableError):
        decode(with_checksum(columns, digests, zlib.compress(rare)))


def test_crafted_columns_with_a_right_checksum_are_a_damaged_index() -> None:
    columns, digests, rare = sections_of(encode(CHANGES))
    plain = zlib.decompress(columns)
    refused = 0
    for position in range(len(plain)):
        crafted = bytearray(plain)
        crafted[position] ^= 0xFF
        try:
            decode(with_checksum(zlib.compress(bytes(crafted)), digests, rare))
        except IndexUnavailableError:
            refused += 1
    assert refused > len(plain) // 2  # the others are other paths, kinds and sizes
