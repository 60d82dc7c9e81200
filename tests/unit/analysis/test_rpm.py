"""Packages that rpm installed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.analysis.layers import names, reasons, run
from tests.unit.analysis.rpm_databases import header, ndb, package, sqlite

from layerproof.model.ownership import Checksum

SQLITE = b"var/lib/rpm/rpmdb.sqlite"
NDB = b"usr/lib/sysimage/rpm/Packages.db"
ALMA = b'ID="almalinux"\nVERSION_ID="9.4"\n'
DIGEST = "ab" * 32
BASH = package(
    files=(
        ("/usr/bin/bash", DIGEST, 0),
        ("/etc/skel/.bashrc", DIGEST, 1),
        ("/usr/share/x", DIGEST, 64),
        ("/usr/share", "", 0),
    ),
    script="echo hello",
)
NODE = package("nodejs", "12.22.5", "1.module_el8.4.0+2521+c668cc9f", epoch=1,
               module="nodejs:12:8040020210817133458:522a0ee4")  # fmt: skip


def test_a_package_has_its_epoch_source_module_and_distribution(tmp_path: Path) -> None:
    data = sqlite(tmp_path / "db", [header(BASH), header(NODE)])
    facts = run("rpm", {SQLITE: data, b"etc/os-release": ALMA})
    bash, node = facts.packages
    assert (bash.name, bash.version, bash.architecture) == ("bash", "5.1.8-6.el9", "x86_64")
    assert (bash.source, bash.source_version, bash.licence) == ("", "", "GPLv3+")
    assert bash.purl == "pkg:rpm/almalinux/bash@5.1.8-6.el9?arch=x86_64"
    assert node.version == "1:12.22.5-1.module_el8.4.0+2521+c668cc9f"
    assert node.module == "nodejs:12"
    assert "epoch=1" in node.purl
    assert "@12.22.5" in node.purl


def test_files_have_owners_and_checksums_and_ghosts_none(tmp_path: Path) -> None:
    facts = run("rpm", {SQLITE: sqlite(tmp_path / "db", [header(BASH)])})
    plain, config = facts.manifests
    assert plain.paths == (b"usr/bin/bash", b"usr/share/x", b"usr/share")
    assert (plain.checksum, plain.config) == (Checksum.SHA256, False)
    assert [bool(plain.digest(n)) for n in range(3)] == [True, False, False]
    assert (config.paths, config.config) == ((b"etc/skel/.bashrc",), True)


def test_scriptlets_are_told_apart_by_text_and_program(tmp_path: Path) -> None:
    def digest(script: str, program: bytes = b"/bin/sh") -> bytes:
        tags = package(script=script)
        tags[1086] = (6, [program])
        (found,) = run("rpm", {NDB: ndb([header(tags)])}).scripts
        assert (found.kind, found.package) == ("rpm:post", "bash")
        return found.sha256

    assert digest("a") == digest("a")
    assert len({digest("a"), digest("b"), digest("a", b"<lua>")}) == 3


@pytest.mark.parametrize("count", [0, 1, 3, 400])
def test_databases_of_any_size_are_read_whole(tmp_path: Path, count: int) -> None:
    many = tuple((f"/usr/share/doc/{n}", DIGEST, 0) for n in range(60))
    headers = [header(package(f"p{n}", files=many)) for n in range(count)]
    expected = sorted((f"p{n}", "5.1.8-6.el9") for n in range(count))
    assert names(run("rpm", {SQLITE: sqlite(tmp_path / "db", headers)}).packages) == expected
    if count <= 200:  # slots of one page
        assert names(run("rpm", {NDB: ndb(headers)}).packages) == expected


def test_what_the_log_of_sqlite_committed_counts(tmp_path: Path) -> None:
    data = sqlite(tmp_path / "db", [header(package())], wal=True)
    log = (tmp_path / "db.log").read_bytes()
    assert names(run("rpm", {SQLITE: data, SQLITE + b"-wal": log}).packages)
    without = run("rpm", {SQLITE: data})
    assert (without.packages, bool(reasons(without))) == ((), True)


def test_a_package_in_two_versions_is_listed_twice() -> None:
    kernels = [header(package("kernel", version)) for version in ("5.14.0", "5.15.0")]
    assert len(run("rpm", {NDB: ndb(kernels)}).packages) == 2


def test_cut_databases_are_reported_and_what_was_read_is_kept(tmp_path: Path) -> None:
    headers = [header(package(f"p{n}")) for n in range(120)]
    for path, whole in ((SQLITE, sqlite(tmp_path / "db", headers)), (NDB, ndb(headers))):
        for cut in (1, 16, 100, 4000, len(whole) // 2, len(whole) - 600):
            facts = run("rpm", {path: whole[:cut]})
            assert reasons(facts), cut
            assert len(facts.packages) < 120
            assert facts.package_files == (path,)


def test_a_record_that_names_nothing_is_reported_and_the_others_are_kept() -> None:
    bad = package()
    bad[1000] = (6, [b"evil\x1b[2J"])
    facts = run("rpm", {NDB: ndb([header(bad), header(package("good"))])})
    assert names(facts.packages) == [("good", "5.1.8-6.el9")]
    assert "do not print" in reasons(facts)


def test_an_emptied_database_lists_nothing_and_is_a_package_file() -> None:
    facts = run("rpm", {NDB: ndb([])})
    assert (facts.packages, facts.package_files) == ((), (NDB,))
    assert [manifest.paths for manifest in facts.manifests] == [()]


@given(st.data())
def test_damage_anywhere_raises_nothing(data: st.DataObject) -> None:
    whole = bytearray(ndb([header(BASH), header(NODE)]))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    run("rpm", {NDB: bytes(whole)})


_PAGES: list[bytes] = []


@given(st.data())
def test_damaged_sqlite_raises_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    if not _PAGES:
        made = tmp_path_factory.mktemp("rpm") / "db"
        _PAGES.append(sqlite(made, [header(BASH)] * 90))
    whole = bytearray(_PAGES[0])
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    run("rpm", {SQLITE: bytes(whole)})


def test_pages_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    whole = bytearray(sqlite(tmp_path / "db", [header(BASH)] * 90))
    size = int.from_bytes(whole[16:18], "big")
    for page in range(len(whole) // size):
        if whole[page * size] == 5:  # an interior page: all its children become itself
            whole[page * size + 8 : page * size + 12] = (page + 1).to_bytes(4, "big")
    assert "circle" in reasons(run("rpm", {SQLITE: bytes(whole)}))


def test_no_database_at_all_is_reported() -> None:
    assert "neither SQLite" in reasons(run("rpm", {b"var/lib/rpm/Packages": b"x" * 5000}))
