"""Programs, told by their first bytes."""

from pathlib import Path

import pytest
from tests.unit.analysis.layers import run

from layerproof.analysis.programs import interpreter


def elf(bits: int, order: str, kind: int, machine: int) -> bytes:
    words = kind.to_bytes(2, order) + machine.to_bytes(2, order)  # type: ignore[arg-type]
    return b"\x7fELF" + bytes((bits // 32, 1 if order == "little" else 2, 1)) + bytes(9) + words


def pe(machine: int, at: int = 0x80) -> bytes:
    head = b"MZ".ljust(0x3C, b"\0") + at.to_bytes(4, "little")
    return head.ljust(at, b"\0") + b"PE\0\0" + machine.to_bytes(2, "little")


def groups(files: dict[bytes, bytes]) -> list[dict[str, object]]:
    return list(run("programs", files).data.get("groups", []))  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (
            elf(64, "little", 2, 62),
            {"kind": "elf", "machine": "x86-64", "bits": 64, "type": "executable"},
        ),
        (
            elf(64, "little", 3, 183),
            {"kind": "elf", "machine": "aarch64", "bits": 64, "type": "shared"},
        ),
        (
            elf(32, "big", 1, 8),
            {"kind": "elf", "machine": "mips", "bits": 32, "type": "relocatable"},
        ),
        (elf(64, "big", 4, 22), {"kind": "elf", "machine": "s390", "bits": 64, "type": "core"}),
        (
            elf(32, "little", 65280, 9999),
            {"kind": "elf", "machine": "9999", "bits": 32, "type": "65280"},
        ),
        (b"#!/bin/sh\nexec true\n", {"kind": "script", "interpreter": "/bin/sh"}),
        (b"#!/bin/sh", {"kind": "script", "interpreter": "/bin/sh"}),
        (pe(0x8664), {"kind": "pe", "machine": "x86-64"}),
        (pe(0x1234), {"kind": "pe", "machine": "4660"}),
        (pe(0, at=0xFFFFFF)[:512], {"kind": "dos"}),
        (b"\xcf\xfa\xed\xfe" + bytes(28), {"kind": "mach-o"}),
        (b"\xfe\xed\xfa\xce" + bytes(28), {"kind": "mach-o"}),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", {"kind": "mach-o"}),
        (b"\0asm\x01\0\0\0", {"kind": "wasm"}),
    ],
)
def test_kind_of_a_program(head: bytes, words: dict[str, object]) -> None:
    assert groups({b"x": head}) == [words | {"entries": [0]}]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x7fELF", id="cut ELF"),
        pytest.param(elf(64, "little", 2, 62)[:19], id="ELF cut in its machine"),
        pytest.param(b"\x7fEvil", id="no ELF"),
        pytest.param(b"\xca\xfe\xba\xbe\0\0\0\x34", id="Java class"),
        pytest.param(b"\xca\xfe\xba\xbe\0\0\0\0", id="universal binary of nothing"),
        pytest.param(b"MZ short", id="no DOS header"),
        pytest.param(b"\0abc", id="no wasm"),
    ],
)
def test_file_that_only_begins_like_a_program_is_none(head: bytes) -> None:
    assert run("programs", {b"x": head}).data == {}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"#!/bin/sh", "/bin/sh"),
        (b"#! /bin/bash -eu", "/bin/bash"),
        (b"#!\t/usr/bin/perl\t-w", "/usr/bin/perl"),
        (b"#!/bin/sh\r", "/bin/sh"),
        (b"#!/usr/bin/env python3", "python3"),
        (b"#!/usr/bin/env -S python3 -u", "python3"),
        (b"#!/usr/bin/env -Spython3 -u", "python3"),
        (b"#!/usr/bin/env -vSpython3", "python3"),
        (b"#!/usr/bin/env --split-string=node --flag", "node"),
        (b"#!/usr/bin/env -i -u HOME PATH=/bin LANG=C ruby", "ruby"),
        (b"#!/usr/bin/env", "/usr/bin/env"),
        (b"#!env sh", "sh"),
        (b"#!", ""),
        (b"#!   ", ""),
        (b"#!/bin/\xff", "/bin/\\xff"),
        (b"#!/bin/a\x1b[2J", "/bin/a\\x1b[2J"),
        (b"#!/bin/sh\0evil", "/bin/sh"),
    ],
)
def test_interpreter_of_a_first_line(line: bytes, name: str) -> None:
    assert interpreter(line) == name


def test_programs_of_one_sort_share_a_group() -> None:
    files = {
        b"a": b"#!/bin/sh\n",
        b"b": elf(64, "little", 2, 62),
        b"c": b"#!/bin/sh -e\nx",
        b"d": elf(64, "little", 2, 62),
        b"e": b"#!/usr/bin/env sh\n",
    }
    facts = run("programs", files)
    assert facts.data["counts"] == {"script": 3, "elf": 2}
    found = {g.get("interpreter", g["kind"]): g["entries"] for g in groups(files)}
    assert found == {"/bin/sh": [0, 2], "elf": [1, 3], "sh": [4]}


def test_first_line_is_bounded_as_in_the_kernel() -> None:
    (group,) = groups({b"x": b"#!/" + b"a" * 500 + b"\n"})
    assert group["interpreter"] == "/" + "a" * 253


def test_endless_sorts_of_interpreters_end_in_one_group_and_a_report() -> None:
    facts = run("programs", {b"%d" % n: b"#!/bin/x%d\n" % n for n in range(3_000)})
    assert facts.data["counts"] == {"script": 3_000}
    found = facts.data["groups"]
    assert len(found) == 1_001  # type: ignore[arg-type]
    assert [group["entries"][0] for group in found if group.get("other")] == [1_000]  # type: ignore[attr-defined]
    assert len(facts.skipped) == 1


def test_own_interpreter_is_a_program() -> None:
    head = Path("/proc/self/exe").read_bytes()[:512] if Path("/proc/self/exe").exists() else b""
    if not head.startswith(b"\x7fELF"):
        pytest.skip("this Python is no ELF program")
    (group,) = groups({b"python": head})
    assert group["type"] in ("executable", "shared")
