"""Setuid, setgid, capabilities and what anybody may overwrite."""

import struct

import pytest
from tests.unit.analysis.layers import FILE, HARDLINK, add, reasons, run

from layerproof.analysis.collecting import UnusableFieldError
from layerproof.analysis.interface import Facts
from layerproof.analysis.privileges import CAPABILITIES, parse_capabilities
from layerproof.model.entry import DIRECTORY, SYMLINK, EntryTable

NET_BIND = 1 << 10
NET_RAW = 1 << 13


def v2(permitted: int, inheritable: int = 0, *, effective: bool = True) -> bytes:
    low, high = permitted & 0xFFFFFFFF, permitted >> 32
    return struct.pack(
        "<5I", 0x02000000 | effective, low, inheritable & 0xFFFFFFFF, high, inheritable >> 32
    )


def facts(table: EntryTable) -> Facts:
    return run("privileges", {}, table)


def test_setuid_and_setgid_programs_are_listed() -> None:
    table = EntryTable()
    add(table, b"bin/ls", mode=0o755)
    sudo = add(table, b"usr/bin/sudo", mode=0o4755)
    both = add(table, b"usr/bin/both", mode=0o6755)
    data = facts(table).data
    assert [item["entry"] for item in data["setuid"]] == [sudo, both]  # type: ignore[attr-defined]
    assert data["setgid"] == [
        {"entry": both, "path": "usr/bin/both", "mode": "6755", "uid": 0, "gid": 0}
    ]
    assert set(data) == {"setuid", "setgid"}


def test_hard_link_that_makes_a_lower_file_setuid_is_listed() -> None:
    table = EntryTable()
    add(table, b"tmp/x", HARDLINK, mode=0o4755, link=b"bin/sh")
    assert facts(table).data["setuid"][0]["path"] == "tmp/x"  # type: ignore[index]


@pytest.mark.parametrize("kind", [DIRECTORY, SYMLINK])
def test_setgid_folders_and_links_are_of_no_interest(kind: int) -> None:
    table = EntryTable()
    add(table, b"var/mail", kind, mode=0o6777)
    assert facts(table).data == {}


def test_world_writable_program_is_listed_and_plain_data_is_not() -> None:
    table = EntryTable()
    add(table, b"tmp/data", mode=0o4666)
    add(table, b"tmp/run", mode=0o777)
    listed = facts(table).data["worldWritableExecutables"]
    assert [item["path"] for item in listed] == ["tmp/run"]  # type: ignore[attr-defined]


def test_path_that_is_not_utf8_is_escaped_for_reading() -> None:
    table = EntryTable()
    add(table, b"bin/\xff\x1b", mode=0o4755)
    assert facts(table).data["setuid"][0]["path"] == "bin/\\xff\\x1b"  # type: ignore[index]


def test_capabilities_of_a_file_are_listed_by_name() -> None:
    table = EntryTable()
    add(table, b"bin/true", mode=0o755, xattrs={"user.mime": b"x"})
    add(table, b"bin/ping", mode=0o755, xattrs={"security.capability": v2(NET_RAW)})
    assert facts(table).data["capabilities"] == [
        {
            "entry": 1,
            "path": "bin/ping",
            "mode": "0755",
            "uid": 0,
            "gid": 0,
            "version": 2,
            "effective": True,
            "permitted": ["cap_net_raw"],
            "inheritable": [],
        }
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # what `setcap cap_net_bind_service=+ep` writes
        (
            bytes.fromhex("0100000200040000000000000000000000000000"),
            (2, True, ["cap_net_bind_service"], [], None),
        ),
        (
            struct.pack("<3I", 0x01000000, NET_RAW, 1),
            (1, False, ["cap_net_raw"], ["cap_chown"], None),
        ),
        (
            struct.pack("<6I", 0x03000001, NET_BIND, 0, 1 << 8, 0, 100_000),
            (3, True, ["cap_net_bind_service", "cap_checkpoint_restore"], [], 100_000),
        ),
        (v2(1 << 41 | 1 << 63, effective=False), (2, False, ["cap_41", "cap_63"], [], None)),
        (v2(0, 1 << 39), (2, True, [], ["cap_bpf"], None)),
    ],
)
def test_attribute_is_read_as_the_kernel_reads_it(
    value: bytes, expected: tuple[object, ...]
) -> None:
    found = parse_capabilities(value)
    keys = ("version", "effective", "permitted", "inheritable", "rootid")
    assert tuple(found.get(key) for key in keys) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x01",
        v2(1)[:-1],
        v2(1) + b"\0",
        b"\x01\0\0\x04" + bytes(16),
        b"\x01\0\0\x03" + bytes(16),
    ],
)
def test_attribute_that_the_kernel_refuses_is_reported(value: bytes) -> None:
    with pytest.raises(UnusableFieldError):
        parse_capabilities(value)
    table = EntryTable()
    add(table, b"x", xattrs={"security.capability": value})
    assert facts(table).data == {}
    assert "no known version" in reasons(facts(table))


def test_every_capability_has_its_number() -> None:
    assert len(CAPABILITIES) == 41
    assert CAPABILITIES[0] == "cap_chown"
    assert CAPABILITIES[21] == "cap_sys_admin"
    assert CAPABILITIES[31] == "cap_setfcap"
    assert CAPABILITIES[40] == "cap_checkpoint_restore"


def test_endless_setuid_files_are_listed_up_to_a_bound_and_reported() -> None:
    table = EntryTable()
    for n in range(10_005):
        add(table, b"%d" % n, FILE, mode=0o4755)
    found = facts(table)
    assert len(found.data["setuid"]) == 10_000  # type: ignore[arg-type]
    assert len(found.skipped) == 5
