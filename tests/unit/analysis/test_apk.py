"""The apk database."""

import tarfile
from pathlib import Path

import pytest
from tests.unit.analysis.layers import analyser, names, reasons, run

INSTALLED = b"lib/apk/db/installed"
BUSYBOX = b"""C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=
P:busybox-binsh
V:1.36.1-r29
A:x86_64
S:1546
T:busybox ash /bin/sh
L:GPL-2.0-only
o:busybox
p:/bin/sh cmd:sh=1.36.1-r29
F:bin
R:sh
a:0:0:777
Z:Q1pcfTfDNEbNKQc2s1tia7da05M8Q=
"""
MUSL = b"P:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\n"


@pytest.mark.parametrize("path", [INSTALLED, b"usr/lib/apk/db/installed"])
def test_packages_with_origin_and_licence(path: bytes) -> None:
    assert path in analyser("apk").interest.paths
    facts = run("apk", {path: BUSYBOX + b"\n" + MUSL + b"\n", b"etc/os-release": b"ID=wolfi"})
    shell, musl = facts.packages
    assert (shell.name, shell.version, shell.source) == ("busybox-binsh", "1.36.1-r29", "busybox")
    assert (shell.architecture, shell.licence) == ("x86_64", "GPL-2.0-only")
    assert musl.source == ""
    assert musl.purl == "pkg:apk/wolfi/musl@1.2.5-r0?arch=x86_64"
    assert facts.package_files == (path,)
    assert facts.skipped == ()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"P:x\nA:noarch\n", "no version"),
        (b"V:1\n", "no package name"),
        (b"P:x\nV:\xff\n", "version is not UTF-8"),
        (b"P:x\nV:1\no:" + b"o" * 5000 + b"\n", "origin is longer"),
    ],
)
def test_unusable_record_is_reported_and_the_next_one_is_read(record: bytes, reason: str) -> None:
    facts = run("apk", {INSTALLED: record + b"\n" + MUSL})
    assert names(facts.packages) == [("musl", "1.2.5-r0")]
    assert reason in reasons(facts)


def test_licence_that_is_not_utf8_is_repaired_since_it_decides_nothing() -> None:
    facts = run("apk", {INSTALLED: b"P:a\nV:1\nL:MIT\xff\x07\n"})
    assert facts.packages[0].licence == "MIT\N{REPLACEMENT CHARACTER}"


def test_lost_blank_line_and_repeated_package() -> None:
    facts = run("apk", {INSTALLED: MUSL + BUSYBOX + b"\n" + MUSL.replace(b"1.2.5", b"1.2.6")})
    assert names(facts.packages) == [("busybox-binsh", "1.36.1-r29"), ("musl", "1.2.6-r0")]


@pytest.mark.parametrize("release", ["3.10.3", "3.16.9", "3.20.3"])
def test_real_alpine(release: str, shared_data: Path) -> None:
    wanted = analyser("apk").interest.paths
    with tarfile.open(shared_data / "images" / f"alpine-minirootfs-{release}-x86_64.tar.gz") as tar:
        files = {
            member.name.removeprefix("./").encode(): tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isfile() and member.name.removeprefix("./").encode() in wanted
        }
    facts = run("apk", files)
    assert facts.skipped == ()
    assert len(facts.packages) == files[INSTALLED].count(b"\nP:")
    assert {"musl", "busybox", "apk-tools"} <= {package.name for package in facts.packages}
    assert {package.distribution for package in facts.packages} == {"alpine"}
    assert all(package.licence for package in facts.packages)
