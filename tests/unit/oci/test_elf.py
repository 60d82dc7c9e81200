"""Sections of programs that stream by."""

from struct import Struct

import pytest

from layerproof.oci.elf import MAX_KEPT, ElfParts

WANTED = {b".go.buildinfo": b"the build information", b".dep-v0": b"the list of crates"}


def program(
    *, wide: bool = True, little: bool = True, code: int = 400_000, stripped: bool = False
) -> bytes:
    """A program with one executable and one writable segment, and sections behind them."""
    order = "<" if little else ">"
    data_at = 4096 + code
    data = b"d" * 100 + WANTED[b".go.buildinfo"] + b"d" * 5000
    behind = b"comment" + WANTED[b".dep-v0"]
    names = b"\0.text\0.go.buildinfo\0.dep-v0\0.shstrtab\0"
    names_at = data_at + len(data) + len(behind)
    sections_at = names_at + len(names)
    sections = [
        (0, 0, 0, 0),
        (names.index(b".text"), 1, 4096, code),
        (names.index(b".go.buildinfo"), 1, data_at + 100, len(WANTED[b".go.buildinfo"])),
        (names.index(b".dep-v0"), 1, data_at + len(data) + 7, len(WANTED[b".dep-v0"])),
        (names.index(b".shstrtab"), 3, names_at, len(names)),
    ]
    section = Struct(order + ("II4QII2Q" if wide else "10I"))
    segments = [(1, 5, 0, 4096 + code), (1, 6, data_at, len(data))]
    if wide:
        head = Struct(order + "16sHHIQQQIHHHHHH")
        segment = Struct(order + "II6Q")
        rows = [segment.pack(t, f, at, 0, 0, n, n, 0) for t, f, at, n in segments]
    else:
        head = Struct(order + "16sHHIIIIIHHHHHH")
        segment = Struct(order + "8I")
        rows = [segment.pack(t, at, 0, 0, n, n, f, 0) for t, f, at, n in segments]
    identity = b"\x7fELF" + bytes((2 if wide else 1, 1 if little else 2, 1)) + bytes(9)
    count = 0 if stripped else len(sections)
    start = head.pack(
        identity, 2, 62, 1, 0, head.size, sections_at, 0, head.size, segment.size, len(rows),
        section.size, count, 0 if stripped else 4,
    )  # fmt: skip
    found = (start + b"".join(rows)).ljust(4096, b"\0") + b"c" * code + data + behind + names
    table = b"".join(section.pack(n, t, 0, 0, at, size, 0, 0, 0, 0) for n, t, at, size in sections)
    return found + (b"" if stripped else table)


def parts(data: bytes, piece: int) -> ElfParts:
    found = ElfParts(len(data))
    for at in range(0, len(data), piece):
        found.write(memoryview(data)[at : at + piece])
    return found


@pytest.mark.parametrize("piece", [1000, 4096, 65_537, 1 << 20])
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("little", [True, False])
def test_sections_are_found_however_the_program_arrives(
    piece: int, wide: bool, little: bool
) -> None:
    found = parts(program(wide=wide, little=little), piece)
    assert {name: found.section(name) for name in WANTED} == WANTED
    assert found.section(b".none") is None


def test_code_is_not_kept() -> None:
    found = parts(program(code=8 << 20), 1 << 18)
    assert found.section(b".text") == b""
    assert sum(len(held) for _, held in found._kept) < 2 << 20


def test_a_huge_writable_segment_is_kept_up_to_a_bound() -> None:
    data = bytearray(program())
    data[4096:4096] = b""
    huge = bytes(data[:100]) + b"\xff" * (64 << 20)
    found = parts(huge, 1 << 20)
    assert sum(len(held) for _, held in found._kept) <= MAX_KEPT + (1 << 20)


def test_a_program_without_section_headers_has_no_sections() -> None:
    assert parts(program(stripped=True), 4096).section(b".dep-v0") is None


def test_damage_finds_nothing_and_raises_nothing() -> None:
    whole = program()
    for at in range(0, 200):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        parts(bytes(damaged), 65_536).section(b".dep-v0")
    for cut in (0, 1, 63, 64, 4095, 4096, 100_000, len(whole) - 1):
        parts(whole[:cut], 4096).section(b".dep-v0")
