"""Databases that rpm and Berkeley DB themselves wrote, read as rpm reads them."""

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from tests.unit.analysis.layers import reasons, run

SPEC = """
Name: demo-tool
Version: 1.2.3
Release: 4.el9
Epoch: 2
Summary: A tool
License: MIT
%description
A tool.
%package libs
Summary: Its library
License: BSD-3-Clause
%description libs
Its library.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
echo tool > %{buildroot}/usr/bin/demo
echo setting > %{buildroot}/etc/demo.conf
echo library > %{buildroot}/usr/libdemo
%files
/usr/bin/demo
%config(noreplace) /etc/demo.conf
%files libs
/usr/libdemo
%post
echo installed
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root into which rpm installed two packages."""
    for program in ("rpm", "rpmbuild"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")
    top = tmp_path_factory.mktemp("rpm")
    (top / "demo.spec").write_text(SPEC)
    build = ["rpmbuild", "-bb", "--define", f"_topdir {top}", str(top / "demo.spec")]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    packages = sorted(map(str, top.glob("RPMS/*/*.rpm")))
    at = ["rpm", "--root", str(top / "root"), "--dbpath", "/var/lib/rpm"]
    (top / "root").mkdir()
    done = subprocess.run(
        [*at, "-i", "--justdb", "--nodeps", "--noscripts", "--ignorearch", *packages],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = top / "root/var/lib/rpm/rpmdb.sqlite"
    if not found.exists():
        pytest.skip(f"rpm cannot install into another root here: {done.stderr[:200]}")
    return found


def _said(database: Path) -> set[tuple[str, ...]]:
    query = "%{NAME}|%{EPOCHNUM}:%{VERSION}-%{RELEASE}|%{ARCH}|%{LICENSE}\n"
    root = database.parents[3]
    out = subprocess.run(
        ["rpm", "--root", str(root), "--dbpath", "/var/lib/rpm", "-qa", "--qf", query],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    return {tuple(line.split("|")) for line in out.splitlines() if line.count("|") == 3}


def test_a_database_of_rpm_is_read_as_rpm_reads_it(database: Path) -> None:
    facts = run("rpm", {b"var/lib/rpm/rpmdb.sqlite": database.read_bytes()})
    found = {(p.name, p.version, p.architecture, p.licence) for p in facts.packages}
    assert found == _said(database)
    assert len(found) == 2
    assert {path for m in facts.manifests for path in m.paths} >= {
        b"usr/bin/demo",
        b"etc/demo.conf",
        b"usr/libdemo",
    }
    assert {script.kind for script in facts.scripts} == {"rpm:post"}


def test_a_hash_of_berkeley_db_holds_the_same(database: Path, tmp_path: Path) -> None:
    load = shutil.which("db5.3_load") or shutil.which("db_load")
    if load is None:
        pytest.skip("there is no db_load here")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT hnum, blob FROM Packages").fetchall()
    lines = ["VERSION=3", "format=bytevalue", "type=hash", "HEADER=END"]
    for number, blob in [(0, bytes(4)), *rows]:
        lines += [" " + int(number).to_bytes(4, "little").hex(), " " + bytes(blob).hex()]
    made = tmp_path / "Packages"
    subprocess.run(
        [load, "-t", "hash", str(made)],
        input="\n".join([*lines, "DATA=END", ""]),
        text=True,
        check=True,
        capture_output=True,
        timeout=60,
    )
    whole = made.read_bytes()
    facts = run("rpm", {b"var/lib/rpm/Packages": whole})
    assert not reasons(facts)
    expected = run("rpm", {b"var/lib/rpm/rpmdb.sqlite": database.read_bytes()})
    keys = [{(p.name, p.version, p.source) for p in f.packages} for f in (facts, expected)]
    assert keys[0] == keys[1]
    for cut in range(100, len(whole), 2048):
        assert reasons(run("rpm", {b"var/lib/rpm/Packages": whole[:cut]}))
