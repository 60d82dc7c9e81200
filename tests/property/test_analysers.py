"""No bytes make an analyser raise, and package changes add up."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.analysis.layers import FILE, HARDLINK, read
from tests.unit.analysis.rpm_databases import header, ndb
from tests.unit.analysis.rpm_databases import package as rpm_package
from tests.unit.analysis.test_go import information
from tests.unit.analysis.test_java import LOG4J, POM, jar

from layerproof.analysis.collecting import display, licence
from layerproof.analysis.interface import Analyser, Facts
from layerproof.analysis.os_release import parse_line
from layerproof.analysis.package_changes import PackageTree
from layerproof.analysis.privileges import CAPABILITIES, parse_capabilities
from layerproof.analysis.programs import interpreter
from layerproof.analysis.registry import ANALYSERS, dispatch
from layerproof.model.entry import DIRECTORY, NO_DIGEST, OPAQUE, SYMLINK, WHITEOUT, EntryTable
from layerproof.model.package import Package, PackageChangeKind, PackageType

STATUS = b"var/lib/dpkg/status"
SAMPLES = {
    "apk": (
        b"lib/apk/db/installed",
        b"P:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nF:lib\n\nP:b\nV:2",
    ),
    "dpkg": (
        STATUS,
        b"Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nSource: bash (5.2)\n"
        b"Conffiles:\n /etc/x 0\n\nPackage: b\nStatus: deinstall ok config-files\n",
    ),
    "dotnet": (
        b"a.deps.json",
        b'{"libraries":{"A/1.0":{"type":"package"},"b/2":{"type":"project"}}}',
    ),
    "entries": (b"x", b""),
    "go": (b"bin/app", information()),
    "java": (b"a.jar", jar({POM: LOG4J, "b.jar": jar({POM: LOG4J})})),
    "node-locks": (b"package-lock.json", b'{"packages":{"node_modules/@a/b":{"version":"1.0.0"}}}'),
    "php": (b"vendor/composer/installed.json", b'{"packages":[{"name":"a/b","version":"v1"}]}'),
    "rpm": (b"var/lib/rpm/Packages.db", ndb([header(rpm_package(script="x"))])),
    "ruby": (b"specifications/a.gemspec", b's.name = "a".freeze\ns.version = "1.0"\n'),
    "rust": (b"Cargo.lock", b'[[package]]\nname = "a"\nversion = "1.0"\n'),
    "node": (
        b"app/node_modules/@s/a/package.json",
        b'{"name":"@s/a","version":"1.0.0","license":{"type":"MIT"},"x":[1,{"y":"\\u00fc"}]}',
    ),
    "manifests": (
        b"lib/apk/db/installed",
        b"P:a\nF:bin\nR:sh\nZ:Q1AAECAwQFBgcICQoLDA0ODxAREhM=\n\nP:b\nF:etc\nR:motd\n",
    ),
    "scripts": (
        b"a/package.json",
        b'{"name":"a","version":"1","scripts":{"postinstall":"node x.js","install":"y"}}',
    ),
    "secrets": (b"srv/app/.env", b"A=1\nTOKEN=ghp_" + b"a1B2" * 9 + b"\n"),
    "os-release": (b"etc/os-release", b"ID=debian\nNAME=\"Debian GNU/Linux\"\nA='b'\n# x\n"),
    "privileges": (b"x", b""),
    "programs": (b"bin/x", b"#!/usr/bin/env -S python3 -u\n\x7fELF\x02\x01MZ\xca\xfe\xba\xbe\0asm"),
    "python": (
        b"a/b-1.dist-info/METADATA",
        b"Metadata-Version: 2.1\nName: b\nVersion: 1\nLicense: MIT\nClassifier: License :: X\n\nx",
    ),
}
PATHS = [path for path, _ in SAMPLES.values()] + [
    b"var/lib/dpkg/status.d/x",
    b"usr/lib/os-release",
    b"x.egg-info",
    b"EGG-INFO/PKG-INFO",
    b"package.json",
    b"x.dist-info/RECORD",
    b"var/lib/dpkg/info/a.md5sums",
    b"var/lib/dpkg/info/a.list",
    b"lib/apk/db/scripts.tar",
    b"a.pth",
    b"root/.docker/config.json",
    b"root/.netrc",
    b"root/.aws/credentials",
    b"app/settings.yaml",
    b"a/package.json/package.json",
]
PIECES = [
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\0",
    b"\xff",
    b":",
    b" ",
    b'"',
    b"'",
    b"\\",
    b"{",
    b"[",
    b"=",
    b"#!",
    b"\x7fELF",
    b"MZ",
]


@st.composite
def mutated(draw: st.DrawFn, sample: bytes) -> bytes:
    """A real file with pieces cut out, doubled, replaced or put in."""
    data = sample
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, len(data)))
        middle = draw(
            st.one_of(
                st.sampled_from(PIECES),
                st.binary(max_size=8),
                st.just(data[start:end] * 2),
                st.just(b""),
            )
        )
        data = data[:start] + middle + data[end:]
    return data


def check(facts: Facts) -> None:
    """What the index and every later reader rely on."""
    json.dumps(facts.data, allow_nan=False).encode()
    for package in facts.packages:
        assert package.path in facts.package_files
        assert package.name
        assert package.version
        for value in (package.name, package.version, package.architecture, package.source):
            assert value.isprintable()
            assert len(value.encode()) <= 4096
        assert package.licence.isprintable()
        assert package.purl
    for skip in facts.skipped:
        assert skip.reason
        skip.reason.encode()


def given_to(analyser: Analyser, *files: tuple[bytes, bytes]) -> Facts:
    collector = analyser.start()
    for index, (path, data) in enumerate(files):
        collector.file(path, index, data)
    return collector.finish(EntryTable())


@pytest.mark.parametrize("analyser", ANALYSERS, ids=lambda analyser: analyser.id)
@given(data=st.data())
def test_mutated_files_never_raise_and_yield_clean_facts(
    analyser: Analyser, data: st.DataObject
) -> None:
    path, sample = SAMPLES[analyser.id]
    check(given_to(analyser, (path, data.draw(mutated(sample)))))


@pytest.mark.parametrize("analyser", ANALYSERS, ids=lambda analyser: analyser.id)
@given(st.lists(st.tuples(st.sampled_from(PATHS), st.binary(max_size=200)), max_size=4))
def test_arbitrary_bytes_never_raise(analyser: Analyser, files: list[tuple[bytes, bytes]]) -> None:
    check(given_to(analyser, *files))


@pytest.mark.parametrize("analyser", ANALYSERS, ids=lambda analyser: analyser.id)
def test_sample_is_one_that_the_analyser_reads(analyser: Analyser) -> None:
    """Else the tests above would show nothing."""
    facts = given_to(analyser, SAMPLES[analyser.id])
    assert facts.skipped == ()
    found = facts.packages or facts.data or facts.manifests or facts.scripts
    assert found or analyser.id == "privileges"


ENTRY = st.one_of(
    st.tuples(
        st.sampled_from(PATHS), st.just(FILE), st.sampled_from([s for _, s in SAMPLES.values()])
    ),
    st.tuples(
        st.sampled_from(PATHS),
        st.sampled_from([HARDLINK, SYMLINK, DIRECTORY, WHITEOUT, OPAQUE]),
        st.sampled_from([*PATHS, b"elsewhere"]),
    ),
)


@given(st.lists(ENTRY, max_size=12))
def test_any_order_of_files_and_links_gives_a_consistent_layer(
    tar: list[tuple[bytes, int, bytes]],
) -> None:
    result = read(dispatch(), *tar)
    assert result.packages == tuple(sorted(result.packages))
    assert {package.path for package in result.packages} <= set(result.package_files)
    last = {path: kind for path, kind, _ in tar if kind not in (WHITEOUT, OPAQUE)}
    assert all(last[package.path] in (FILE, HARDLINK) for package in result.packages)
    assert read(dispatch(), *tar) == result


@st.composite
def tables(draw: st.DrawFn) -> EntryTable:
    table = EntryTable()
    for index in range(draw(st.integers(0, 8))):
        table.paths.append(draw(st.binary(max_size=6)))
        table.kinds.append(draw(st.integers(0, 255)))
        table.owners.append((draw(st.integers(0, 0o7777)), 0, draw(st.integers(0, 2**64))))
        table.sizes.append(draw(st.integers(0, 2**40)))
        table.digests += NO_DIGEST
        if draw(st.booleans()):
            table.xattrs[index] = {"security.capability": draw(st.binary(max_size=26))}
    return table


@pytest.mark.parametrize("analyser", ANALYSERS, ids=lambda analyser: analyser.id)
@given(tables())
def test_any_entries_give_plain_json(analyser: Analyser, table: EntryTable) -> None:
    check(analyser.start().finish(table))


@given(st.binary(max_size=300))
def test_text_for_people_always_prints(data: bytes) -> None:
    for show in (display, licence, interpreter):
        assert show(data).isprintable()


def in_double_quotes(value: str) -> str:
    """As os-release(5) says: $, quotes, backslash and backtick are escaped with backslashes."""
    for special in '\\"$`':
        value = value.replace(special, "\\" + special)
    return f'"{value}"'


PRINTABLE = st.text(st.characters(codec="utf-8")).filter(str.isprintable)


@given(PRINTABLE.filter(lambda text: text == text.strip()))
def test_quoted_os_release_value_comes_back(value: str) -> None:
    assert parse_line(f"NAME={in_double_quotes(value)}".encode()) == ("NAME", value)
    if "'" not in value:
        assert parse_line(f"NAME='{value}'".encode()) == ("NAME", value)


@given(
    st.sets(st.integers(0, 40)),
    st.sets(st.integers(0, 40)),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_capabilities_come_back(
    permitted: set[int], inheritable: set[int], effective: bool, root: int
) -> None:
    masks = [sum(1 << number for number in numbers) for numbers in (permitted, inheritable)]
    words = [masks[0] & 0xFFFFFFFF, masks[1] & 0xFFFFFFFF, masks[0] >> 32, masks[1] >> 32, root]
    value = b"".join(word.to_bytes(4, "little") for word in (0x03000000 | effective, *words))
    found = parse_capabilities(value)
    assert found["permitted"] == [CAPABILITIES[number] for number in sorted(permitted)]
    assert found["inheritable"] == [CAPABILITIES[number] for number in sorted(inheritable)]
    assert (found["effective"], found["rootid"]) == (effective, root)


# --- package changes -----------------------------------------------------------------------------

FILES = {
    PackageType.DEB: [STATUS, b"var/lib/dpkg/status.d/a", b"var/lib/dpkg/status.d/b"],
    PackageType.APK: [b"lib/apk/db/installed", b"usr/lib/apk/db/installed"],
    PackageType.PYPI: [b"s/a-1.dist-info/METADATA", b"s/a-2.dist-info/METADATA", b"t/b.egg-info"],
    PackageType.NPM: [b"node_modules/a/package.json", b"node_modules/b/package.json"],
    PackageType.RPM: [b"var/lib/rpm/rpmdb.sqlite", b"var/lib/rpm/Packages"],
    PackageType.MAVEN: [b"app/a.jar", b"app/b.jar"],
}
EVERY_FILE = sorted(path for paths in FILES.values() for path in paths)


@st.composite
def packages(draw: st.DrawFn) -> Package:
    kind = draw(st.sampled_from(list(FILES)))
    name = draw(st.sampled_from(["a", "b", "A_a"]))
    version = draw(st.sampled_from(["1", "2", "3"]))
    path = draw(st.sampled_from(FILES[kind]))
    architecture = draw(st.sampled_from(["", "amd64"]))
    source = draw(st.sampled_from(["", "src"]))
    return Package(kind, name, version, path, architecture, source)


LAYER = st.tuples(
    st.lists(packages(), max_size=8),
    st.sets(st.sampled_from(EVERY_FILE)),
    st.sets(st.sampled_from(EVERY_FILE)),
)
Layer = tuple[list[Package], set[bytes], set[bytes]]


def put(tree: PackageTree, layer: Layer, order: Callable[[list[Package]], list[Package]] = list):  # type: ignore[no-untyped-def]
    found, files, removed = layer
    every = files | {package.path for package in found}
    return tree.apply(order(found), every, removed.__contains__)


def stated(tree: PackageTree) -> list[tuple[str, ...]]:
    """What is installed, without the path: a database that moves changes nothing else."""
    return sorted(map(_record, tree.packages))


def _record(package: Package) -> tuple[str, ...]:
    name = package.name.lower().replace("_", "-") if package.type == "pypi" else package.name
    return (
        package.type,
        name,
        package.architecture,
        package.version,
        package.source,
        package.source_version,
    )


@given(st.lists(LAYER, max_size=4))
def test_changes_are_the_difference_of_what_is_installed(layers: list[Layer]) -> None:
    tree = PackageTree()
    for layer in layers:
        expected = stated(tree)
        for change in put(tree, layer):
            assert (change.before is None) == (change.kind is PackageChangeKind.ADDED)
            assert (change.after is None) == (change.kind is PackageChangeKind.REMOVED)
            if change.before is not None:
                expected.remove(_record(change.before))
            if change.after is not None:
                expected.append(_record(change.after))
        assert sorted(expected) == stated(tree)


@given(st.lists(LAYER, max_size=3))
def test_applying_a_layer_again_changes_nothing(layers: list[Layer]) -> None:
    tree = PackageTree()
    for found, files, _ in layers:
        layer: Layer = (found, files, set())
        put(tree, layer)
        before = tree.packages
        assert put(tree, layer) == ()
        assert tree.packages == before


@given(st.lists(LAYER, max_size=3))
def test_order_inside_a_layer_does_not_matter(layers: list[Layer]) -> None:
    one, other = PackageTree(), PackageTree()
    for layer in layers:
        backwards = put(other, layer, lambda found: found[::-1])
        assert put(one, layer) == backwards
    assert one.packages == other.packages


@given(st.lists(LAYER, max_size=3))
def test_changes_are_sorted_and_only_real(layers: list[Layer]) -> None:
    tree = PackageTree()
    for layer in layers:
        changes = put(tree, layer)
        names = [(change.package.type, change.package.name) for change in changes]
        assert names == sorted(names)
        for change in changes:
            if change.before is not None and change.after is not None:
                assert _record(change.before) != _record(change.after)
                assert _record(change.before)[:3] == _record(change.after)[:3]
