"""Packages against advisories, VEX, releases and instances."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from layerproof.advisories.ecosystems import query
from layerproof.advisories.formats import CveRecord
from layerproof.advisories.match import advise
from layerproof.advisories.vex import about
from layerproof.engine.releases import releases
from layerproof.model.advisory import Advisory, Affected, CveFacts, EventKind
from layerproof.model.installed import instances
from layerproof.model.package import Package, PackageChange, PackageChangeKind, PackageType
from layerproof.model.release import Release
from layerproof.model.vulnerability import Level, State, VexStatement, VexStatus, Vulnerability
from layerproof.testing.advisories import MemoryAdvisories
from layerproof.testing.images import build
from layerproof.testing.source import MemorySource

DEBIAN, ALPINE = Release("debian", "12", "debian 12"), Release("alpine", "3.20.3")
ALMA = Release("almalinux", "8.10")
CURL = Package(
    PackageType.DEB, "libcurl4", "7.88.1-10+b1", b"var/lib/dpkg/status", "amd64", "curl",
    "7.88.1-10", distribution="debian",
)  # fmt: skip
FLASK = Package(PackageType.PYPI, "Flask", "2.0.0", b"x/Flask-2.0.0.dist-info/METADATA")


def fixed(
    name: str, version: str, *, ecosystem: str = "Debian:12", package: str = "curl", **more: object
) -> Advisory:
    state = more.pop("state", State.FIXED)
    module = more.pop("module", "")
    events = ((EventKind.INTRODUCED, "0"), (EventKind.FIXED, version))
    affected = Affected(ecosystem, package, (events,), state=state, module=module)  # type: ignore[arg-type]
    cves = (name,) if name.startswith("CVE") else ()
    return Advisory(name, cves=cves, affected=(affected,))._replace(**more)  # type: ignore[arg-type]


def found(
    package: Package, release: Release, *records: object, owner: Package | None = None
) -> tuple[Vulnerability, ...]:
    lookup = MemoryAdvisories(records)  # type: ignore[arg-type]
    owners = {owner.name: owner} if owner else {}
    packages = [(package, release), *([(owner, release)] if owner else [])]
    return advise(packages, owners, lookup)[package].vulnerabilities


def test_binaries_are_matched_by_source_and_its_version() -> None:
    (v,) = found(CURL, DEBIAN, fixed("CVE-2026-1", "7.88.1-10+deb12u1"))
    assert (v.id, v.fixed, v.state) == ("CVE-2026-1", "7.88.1-10+deb12u1", State.FIXED)
    assert not found(CURL, DEBIAN, fixed("CVE-2026-1", "7.88.1-10"))  # the +b1 is no newer source
    assert not found(CURL, DEBIAN, fixed("CVE-2026-1", "9", package="libcurl4"))


@pytest.mark.parametrize(
    ("kind", "release", "ecosystem"),
    [
        (PackageType.DEB, Release("debian", "12"), "Debian:12"),
        (PackageType.DEB, Release("debian", ""), None),  # testing says no number
        (PackageType.DEB, Release("ubuntu", "22.04"), "Ubuntu:22.04:LTS"),
        (PackageType.DEB, Release("ubuntu", "23.10"), "Ubuntu:23.10"),
        (PackageType.DEB, Release("raspbian", "12"), None),
        (PackageType.DEB, Release("alpine", "3.20.1"), None),
        (PackageType.APK, Release("alpine", "3.20.1"), "Alpine:v3.20"),
        (PackageType.APK, Release("alpine", "3.21.0_alpha20240807"), "Alpine:edge"),
        (PackageType.APK, Release("wolfi", "20230201"), "Wolfi"),
        (PackageType.RPM, Release("almalinux", "9.4"), "AlmaLinux:9"),
        (PackageType.RPM, Release("rhel", "8.6"), "Red Hat:8"),
        (PackageType.RPM, Release("opensuse-leap", "15.5"), "openSUSE:Leap 15.5"),
        (PackageType.RPM, Release("fedora", "40"), None),
        (PackageType.PYPI, Release("debian", "12"), "PyPI"),
        (PackageType.CARGO, Release(), "crates.io"),
    ],
)
def test_ecosystems(kind: PackageType, release: Release, ecosystem: str | None) -> None:
    asked = query(Package(kind, "a", "1", b"x"), release)
    assert (asked.ecosystem if asked else None) == ecosystem


def test_names_of_python_are_normalised() -> None:
    record = fixed("CVE-2026-1", "2.1", ecosystem="PyPI", package="flask")
    assert found(FLASK, DEBIAN, record)


def test_advisories_with_a_common_name_are_one_vulnerability() -> None:
    pysec = fixed("PYSEC-2026-1", "2.1", ecosystem="PyPI", package="flask",
                  aliases=("CVE-2026-1",), cves=("CVE-2026-1",))  # fmt: skip
    ghsa = fixed("GHSA-1", "2.2", ecosystem="PyPI", package="flask", aliases=("CVE-2026-1",),
                 cves=("CVE-2026-1",), level=Level.HIGH, score=7.5)  # fmt: skip
    (v,) = found(FLASK, DEBIAN, pysec, ghsa)
    assert (v.id, v.names, v.fixed) == ("CVE-2026-1", ("GHSA-1", "PYSEC-2026-1"), "2.2")
    assert (v.level, v.score) == (Level.HIGH, 7.5)


def test_an_erratum_counts_as_each_of_its_cves() -> None:
    bash = Package(PackageType.RPM, "bash", "4.4-1.el8", b"db")
    record = fixed("ALSA-2026:1", "4.4-2.el8", ecosystem="AlmaLinux:8", package="bash",
                   cves=("CVE-2026-1", "CVE-2026-2"))  # fmt: skip
    assert [v.id for v in found(bash, ALMA, record)] == ["CVE-2026-1", "CVE-2026-2"]
    assert all(v.names == ("ALSA-2026:1",) for v in found(bash, ALMA, record))


@pytest.mark.parametrize(
    ("module", "stream", "matches"),
    [
        ("nodejs:12", "nodejs:12", True),
        ("nodejs:12", "nodejs:14", False),
        ("nodejs:12", "", False),
        ("", "nodejs:12", False),
        ("", "", True),
        ("?", "nodejs:12", True),
    ],
)
def test_streams_of_modules_are_not_compared(module: str, stream: str, matches: bool) -> None:
    node = Package(PackageType.RPM, "nodejs", "1:12.1-1.el8", b"db", module=stream)
    record = fixed(
        "CVE-2026-1", "1:14.2-1", ecosystem="AlmaLinux:8", package="nodejs", module=module
    )
    assert bool(found(node, ALMA, record)) is matches


def test_a_version_of_zero_says_never_affected() -> None:
    never = fixed("CVE-2026-1", "0", state=State.NOT_AFFECTED)
    assert not found(CURL, DEBIAN, never)
    assert not found(CURL, DEBIAN, never, fixed("CVE-2026-1", "9"))  # and it outweighs


def test_withdrawn_records_match_nothing() -> None:
    assert not found(CURL, DEBIAN, fixed("CVE-2026-1", "9", withdrawn=True))


def test_working_trees_have_no_version() -> None:
    module = Package(PackageType.GOLANG, "example.com/a", "(devel)", b"app")
    record = fixed("GO-2026-1", "1.0.0", ecosystem="Go", package="example.com/a")
    assert not found(module, DEBIAN, record)
    assert found(replace(module, version="v0.9.0"), DEBIAN, record)


def test_branches_and_local_versions() -> None:
    branch = Package(PackageType.COMPOSER, "a/b", "dev-main", b"installed.json")
    assert not found(branch, DEBIAN, fixed("CVE-2026-1", "1", ecosystem="Packagist", package="a/b"))
    last = ((EventKind.INTRODUCED, "0"), (EventKind.LAST_AFFECTED, "2.0.0"))
    record = Advisory("CVE-2026-1", affected=(Affected("PyPI", "flask", (last,)),))
    assert found(replace(FLASK, version="2.0.0+cpu"), DEBIAN, record)
    assert not found(replace(FLASK, version="2.0.1+cpu"), DEBIAN, record)


def test_what_the_distribution_answers_for_counts_once() -> None:
    owner = replace(
        CURL, name="python3-flask", source="flask", source_version="", version="2.0.0-1+deb12u1"
    )
    owned = replace(FLASK, owner="python3-flask")
    language = fixed("GHSA-1", "2.1", ecosystem="PyPI", package="flask", aliases=("CVE-2026-1",),
                     cves=("CVE-2026-1",))  # fmt: skip
    backported = fixed("CVE-2026-1", "2.0.0-1+deb12u1", package="flask")
    assert found(owned, DEBIAN, language, owner=owner)  # nobody answers
    assert not found(owned, DEBIAN, language, backported, owner=owner)
    assert found(FLASK, DEBIAN, language, backported, owner=owner)  # pip's own copy
    open_ = fixed("CVE-2026-1", "9", package="flask")
    assert not found(owned, DEBIAN, language, open_, owner=owner)
    assert found(owner, DEBIAN, language, open_)


def test_what_is_known_of_a_cve_beside_is_added() -> None:
    beside = CveRecord("CVE-2026-1", CveFacts("2026-01-02", 0.9, Level.CRITICAL, 9.9))
    (v,) = found(CURL, DEBIAN, fixed("CVE-2026-1", "9"), beside)
    assert (v.exploited, v.epss, v.level, v.score) == ("2026-01-02", 0.9, Level.CRITICAL, 9.9)
    (v,) = found(CURL, DEBIAN, fixed("CVE-2026-1", "9", level=Level.LOW), beside)
    assert v.level is Level.LOW  # the feed's own word


def test_without_a_fix_in_one_advisory_there_is_none() -> None:
    unfixed = Affected("Debian:12", "curl", (((EventKind.INTRODUCED, "0"),),), state=State.NO_DSA)
    open_ = Advisory("CVE-2026-1", cves=("CVE-2026-1",), affected=(unfixed,))
    (v,) = found(CURL, DEBIAN, fixed("CVE-2026-1", "9"), open_)
    assert (v.fixed, v.state) == ("", State.NO_DSA)


# --- VEX ---

IMAGE = MemorySource(build([{"a": "b"}]), "docker://registry.example/app:1").resolve(None)
(WEAK,) = found(CURL, DEBIAN, fixed("CVE-2026-1", "9", aliases=("DSA-1",)))


def says(*products: str, **more: object) -> VexStatement:
    made = VexStatement(("CVE-2026-1",), products, VexStatus.NOT_AFFECTED)
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statement", "holds"),
    [
        (says("pkg:deb/debian/libcurl4"), True),
        (says("pkg:deb/debian/libcurl4@7.88.1-10%2Bb1?arch=amd64&distro=debian-12"), True),
        (says("pkg:deb/debian/libcurl4@7.88.1-9"), False),
        (says("pkg:deb/debian/libcurl4?arch=arm64"), False),
        (says("pkg:deb/debian/curl"), False),
        (says("docker://registry.example/app:1"), True),
        (says("registry.example/app:1"), True),
        (says("registry.example/app:2"), False),
        (says(f"pkg:oci/app@{IMAGE.manifest_digest}?repository_url=x"), True),
        (says("pkg:oci/app@sha256:" + "0" * 64), False),
        (says("pkg:oci/app"), False),
        (says("registry.example/app:1", parts=("pkg:deb/debian/libcurl4",)), True),
        (says("registry.example/app:1", parts=("pkg:deb/debian/zlib1g",)), False),
        (says("pkg:deb/debian/libcurl4", vulnerabilities=("DSA-1",)), True),
        (says("pkg:deb/debian/libcurl4", vulnerabilities=("CVE-2026-2",)), False),
    ],
)
def test_where_a_statement_holds(statement: VexStatement, holds: bool) -> None:
    assert (about(WEAK, IMAGE, [statement]) is not None) is holds


def test_of_several_statements_the_newest_counts() -> None:
    old = says("registry.example/app:1", at=datetime(2026, 1, 1, tzinfo=UTC))
    new = says(
        "registry.example/app:1",
        status=VexStatus.AFFECTED,
        at=datetime(2026, 2, 1, tzinfo=UTC),
    )
    assert about(WEAK, IMAGE, [new, old]) is new
    assert not replace(WEAK, vex=new).excused
    assert replace(WEAK, vex=old).excused


# --- releases ---


def os_release(system: str, version: str) -> dict[str, object]:
    return {"os-release": {"fields": {"ID": system, "VERSION_ID": version}}}


@pytest.mark.parametrize(
    ("layers", "last"),
    [
        ([os_release("debian", "12"), {}], ("debian", "12")),
        ([os_release("debian", "12"), os_release("debian", "13")], ("debian", "13")),
        ([os_release("debian", "12"), os_release("debian", "11")], ("", "")),
        ([os_release("debian", "12"), os_release("ubuntu", "24.04")], ("", "")),
        ([os_release("debian", "12"), os_release("ubuntu", "24.04"), os_release("debian", "12")],
         ("", "")),
        ([{}, None, os_release("alpine", "3.20.1")], ("alpine", "3.20.1")),
        ([{"os-release": {"alpineRelease": "3.10.3", "fields": {"ID": "alpine"}}}],
         ("alpine", "3.10.3")),
        ([{"os-release": {"fields": {"ID": 7}}}, {"os-release": []}], ("", "")),
    ],
)  # fmt: skip
def test_a_layer_is_not_believed_to_be_another_distribution(
    layers: list[dict[str, object] | None], last: tuple[str, str]
) -> None:
    release = releases(layers)[-1]
    assert (release.id, release.version) == last


# --- instances ---


def change(before: Package | None, after: Package | None) -> PackageChange:
    kinds = {(False, True): PackageChangeKind.ADDED, (True, False): PackageChangeKind.REMOVED}
    kind = kinds.get((before is not None, after is not None), PackageChangeKind.CHANGED)
    return PackageChange(kind, before, after)


OLD, NEW = CURL, replace(CURL, version="8", source_version="8")


def test_the_layer_that_brings_a_package_back_introduces_it() -> None:
    layers = [(0, [change(None, OLD)]), (1, [change(OLD, None)]), (2, [change(None, OLD)])]
    first, second = instances(layers)
    assert (first.introduced, first.gone, first.successor) == (0, 1, None)
    assert (second.introduced, second.gone) == (2, None)


def test_upgrade_and_downgrade_are_instances_of_their_own() -> None:
    layers = [(0, [change(None, OLD)]), (1, [change(OLD, NEW)]), (2, [change(NEW, OLD)])]
    found_ = [(i.package.version, i.introduced, i.gone) for i in instances(layers)]
    assert found_ == [(OLD.version, 0, 1), ("8", 1, 2), (OLD.version, 2, None)]


def test_two_architectures_are_two_instances() -> None:
    other = replace(OLD, architecture="i386")
    layers = [(0, [change(None, OLD)]), (1, [change(None, other)]), (2, [change(OLD, None)])]
    assert [i.gone for i in instances(layers)] == [2, None]


def test_an_owner_that_was_found_later_does_not_matter() -> None:
    layers = [(0, [change(None, replace(OLD, owner="x"))]), (1, [change(OLD, NEW)])]
    assert [i.gone for i in instances(layers)] == [1, None]
