"""The dpkg database, and what hostile layers put in its place."""

import time

import pytest
from tests.unit.analysis.layers import analyser, names, reasons, run

STATUS = b"var/lib/dpkg/status"
BASH = b"""Package: bash
Essential: yes
Status: install ok installed
Priority: required
Architecture: amd64
Version: 5.2.15-2+b2
Source: bash (5.2.15-2)
Conffiles:
 /etc/bash.bashrc 89269e1298235f1b12b4c16e4065ad0d
Description: GNU Bourne Again SHell
 Version: 9.9 is not a field but a line of the description
 .
 Package: evil
"""
LIBC = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: glibc
Version: 2.36-9+deb12u4
"""


def stanza(name: str, version: str = "1", status: str = "install ok installed") -> bytes:
    return f"Package: {name}\nStatus: {status}\nVersion: {version}\nArchitecture: all\n".encode()


def test_installed_packages_with_source_and_architecture() -> None:
    facts = run("dpkg", {STATUS: BASH + b"\n" + LIBC})
    bash, libc = facts.packages
    assert (bash.name, bash.version, bash.architecture) == ("bash", "5.2.15-2+b2", "amd64")
    assert (bash.source, bash.source_version) == ("", "5.2.15-2")  # same name, other version
    assert (libc.source, libc.source_version) == ("glibc", "")
    assert bash.path == STATUS
    assert facts.package_files == (STATUS,)
    assert facts.skipped == ()
    assert bash.purl == "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64"


@pytest.mark.parametrize("order", [1, -1])
def test_distribution_comes_from_the_same_layer_in_any_order(order: int) -> None:
    files = [(b"etc/os-release", b"ID=ubuntu\n"), (STATUS, BASH)]
    (bash,) = run("dpkg", dict(files[::order])).packages
    assert bash.distribution == "ubuntu"
    assert bash.purl.startswith("pkg:deb/ubuntu/bash@")


def test_distroless_file_without_status_or_last_newline_is_installed() -> None:
    path = b"var/lib/dpkg/status.d/base"
    facts = run("dpkg", {path: b"Package: base-files\nVersion: 12.4\nArchitecture: amd64"})
    assert names(facts.packages) == [("base-files", "12.4")]
    assert facts.data == {}
    assert facts.package_files == (path,)


def test_md5sums_beside_distroless_files_are_not_wanted() -> None:
    accepts = analyser("dpkg").interest.accepts
    assert accepts is not None
    assert accepts(b"var/lib/dpkg/status.d/base")
    assert not accepts(b"var/lib/dpkg/status.d/base.md5sums")


@pytest.mark.parametrize("state", ["config-files", "half-installed", "not-installed"])
def test_what_is_not_installed_is_noted_apart(state: str) -> None:
    facts = run("dpkg", {STATUS: stanza("gone", status=f"deinstall ok {state}")})
    assert facts.packages == ()
    assert facts.package_files == (STATUS,)
    assert facts.data == {
        "notInstalled": [{"name": "gone", "architecture": "all", "version": "1", "status": state}]
    }


@pytest.mark.parametrize("state", ["unpacked", "half-configured", "triggers-pending", "nonsense"])
def test_unpacked_files_count_as_installed_and_are_noted(state: str) -> None:
    facts = run("dpkg", {STATUS: stanza("half", status=f"install ok {state}")})
    assert names(facts.packages) == [("half", "1")]
    assert facts.data["unfinished"][0]["status"] == state  # type: ignore[index]


def test_held_package_is_installed() -> None:
    facts = run("dpkg", {STATUS: stanza("held", status="hold ok installed")})
    assert names(facts.packages) == [("held", "1")]
    assert facts.data == {}


def test_removed_package_needs_no_version() -> None:
    text = b"Package: gone\nStatus: purge ok not-installed\n"
    assert run("dpkg", {STATUS: text}).skipped == ()


def test_last_record_of_one_name_and_architecture_wins() -> None:
    facts = run("dpkg", {STATUS: stanza("a", "1") + b"\n" + stanza("a", "2")})
    assert names(facts.packages) == [("a", "2")]


def test_one_name_in_two_architectures_is_two_packages() -> None:
    other = stanza("a", "1").replace(b": all", b": i386")
    assert len(run("dpkg", {STATUS: stanza("a", "1") + b"\n" + other}).packages) == 2


@pytest.mark.parametrize(
    "joined",
    [
        pytest.param(stanza("a") + stanza("b"), id="no blank line"),
        pytest.param(stanza("a") + b"\n\n\n\n" + stanza("b"), id="many blank lines"),
        pytest.param((stanza("a") + b"\n" + stanza("b")).replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(b"\n\n" + stanza("a") + b"\n" + stanza("b") + b"\n\n", id="around"),
        pytest.param((stanza("a") + b"\n" + stanza("b")).replace(b": ", b":\t "), id="tabs"),
        pytest.param((stanza("a") + b"\n" + stanza("b")).replace(b": ", b":"), id="no space"),
        pytest.param((stanza("a") + b"\n" + stanza("b")).replace(b": ", b" : "), id="space before"),
        pytest.param(
            stanza("a").replace(b"Package", b"pAcKaGe").replace(b"Version", b"VERSION")
            + b"\n"
            + stanza("b"),
            id="field names in any case",
        ),
    ],
)
def test_both_records_are_found(joined: bytes) -> None:
    facts = run("dpkg", {STATUS: joined})
    assert names(facts.packages) == [("a", "1"), ("b", "1")]
    assert facts.skipped == ()


def test_fields_in_any_order_stay_with_their_record() -> None:
    text = b"Version: 1\nPackage: a\nStatus: x x installed\n\nVersion: 2\nPackage: b\n"
    assert names(run("dpkg", {STATUS: text}).packages) == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"Status: install ok installed\nVersion: 1\n", "no package name"),
        (b"Package: a\nStatus: install ok installed\n", "no version"),
        (b"Package: a\nVersion:   \n", "no version"),
        (b"Package: \xff\nVersion: 1\n", "package name is not UTF-8"),
        (b"Package: a\nVersion: 1\x00\n", "version holds characters that do not print"),
        (b"Package: a\x1b[2Jb\nVersion: 1\n", "package name holds characters"),
        (b"Package: " + b"a" * 5000 + b"\nVersion: 1\n", "package name is longer"),
        (b"Package: a\nVersion: 1\nSource: a b c\n", "source is not a name and a version"),
    ],
)
def test_unusable_record_is_reported_and_the_next_one_is_read(record: bytes, reason: str) -> None:
    facts = run("dpkg", {STATUS: record + b"\n" + stanza("good")})
    assert names(facts.packages) == [("good", "1")]
    assert len(facts.skipped) == 1
    assert reason in reasons(facts)
    assert facts.skipped[0].path == STATUS


def test_emptied_database_is_still_a_package_file() -> None:
    facts = run("dpkg", {STATUS: b""})
    assert facts.packages == ()
    assert facts.package_files == (STATUS,)


def test_million_records_end_in_bounded_time_and_a_report() -> None:
    text = b"Package:p\nVersion:1\n\n" * 1_000_000
    start = time.process_time()
    facts = run("dpkg", {STATUS: text})
    assert time.process_time() - start < 10
    assert names(facts.packages) == [("p", "1")]
    assert "more than 100000 records" in reasons(facts)


@pytest.mark.parametrize("filler", [b"\n", b"x\n\n", b"\r\n", b"Package:\n", b" \n", b"V"])
def test_megabytes_of_filler_end_in_bounded_time(filler: bytes) -> None:
    start = time.process_time()
    facts = run("dpkg", {STATUS: filler * (8_000_000 // len(filler)) + b"\n\n"})
    assert time.process_time() - start < 5
    assert facts.packages == ()
    assert len(facts.skipped) <= 1_001


def test_blank_line_is_seen_wherever_a_large_file_is_cut() -> None:
    for shift in range(40):
        pad = b"X: " + b"x" * ((1 << 20) - 60 + shift) + b"\n\n"
        facts = run("dpkg", {STATUS: pad + b"Version: 1\nPackage: a\n\nVersion: 2\nPackage: b\n"})
        assert names(facts.packages) == [("a", "1"), ("b", "2")]
