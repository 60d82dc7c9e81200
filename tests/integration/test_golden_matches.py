"""Golden cases: real records, a package, and whether it has the vulnerability, each with its reason.

The records are those of the shared data: Alpine's secdb, fixes from Debian's changelogs, OSV records of
PyPI, npm, Go, AlmaLinux and others, CISA's KEV.
"""

# ruff: noqa: E501  a case is one line

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from layerproof.advisories.match import advise
from layerproof.feeds.build import build, feed_of
from layerproof.feeds.documents import containers
from layerproof.feeds.file import AdvisoryFile
from layerproof.model.package import Package, PackageType
from layerproof.model.release import Release
from layerproof.model.vulnerability import Vulnerability

DATA = Path(__file__).parents[3] / "shared" / "data"
FEEDS = (
    "alpine-secdb",
    "debian-changelog-secfixes",
    "go-advisories",
    "pypi-advisories",
    "npm-advisories/nodejs-security-wg-vuln.tar.gz",
    "rpm-advisories",
    "osv-records",
    "kev-eol",
)
T = PackageType


def alpine(version: str) -> Release:
    return Release("alpine", version)


def debian(version: str) -> Release:
    return Release("debian", version)


def alma(version: str) -> Release:
    return Release("almalinux", version)


NONE = Release()


class Case(NamedTuple):
    type: PackageType
    name: str
    version: str
    release: Release
    vulnerability: str
    expected: bool
    reason: str
    source: str = ""  # source package
    source_version: str = ""
    module: str = ""
    fixed: str = ""


CASES = [
    # Alpine: secdb of the branch
    Case(T.APK, "busybox", "1.30.1-r2", alpine("3.10.3"), "CVE-2021-28831", True,
         "secdb v3.10 main: fixed in 1.30.1-r5", fixed="1.30.1-r5"),
    Case(T.APK, "busybox", "1.30.1-r5", alpine("3.10.3"), "CVE-2021-28831", False, "that very version"),
    Case(T.APK, "ssl_client", "1.30.1-r2", alpine("3.10.3"), "CVE-2021-28831", True,
         "the origin of ssl_client is busybox", source="busybox"),
    Case(T.APK, "ssl_client", "1.30.1-r2", alpine("3.10.3"), "CVE-2021-28831", False,
         "without its origin no list names ssl_client"),
    Case(T.APK, "libcrypto1.1", "1.1.1d-r0", alpine("3.10.3"), "CVE-2020-1967", True,
         "the origin is openssl; fixed in 1.1.1g-r0", source="openssl", fixed="1.1.1g-r0"),
    Case(T.APK, "libcrypto1.1", "1.1.1g-r0", alpine("3.10.9"), "CVE-2020-1967", False, "the fix",
         source="openssl"),
    Case(T.APK, "libcrypto1.1", "1.1.1k-r10", alpine("3.10.9"), "CVE-2021-3449", False,
         "-r10 is newer than -r0 of the fix, and k is the fix's letter", source="openssl"),
    Case(T.APK, "apk-tools", "2.10.4-r2", alpine("3.10.3"), "CVE-2021-36159", True,
         "fixed in 2.10.7-r0", fixed="2.10.7-r0"),
    Case(T.APK, "apk-tools", "2.10.10-r0", alpine("3.10.3"), "CVE-2021-36159", False,
         "10 is more than 7: numbers are no texts"),
    Case(T.APK, "musl", "1.2.5-r0", alpine("3.20.3"), "CVE-2025-26519", True,
         "OSV record of Alpine:v3.20: introduced 0.9.13, fixed 1.2.5-r1", fixed="1.2.5-r1"),
    Case(T.APK, "musl", "1.2.5-r1", alpine("3.20.3"), "CVE-2025-26519", False, "the fix"),
    Case(T.APK, "musl", "1.2.3-r3", alpine("3.16.9"), "CVE-2025-26519", True,
         "the same record, another branch: fixed in 1.2.3-r4", fixed="1.2.3-r4"),
    Case(T.APK, "musl", "1.1.22-r3", alpine("3.10.3"), "CVE-2020-28928", True,
         "secdb v3.10: fixed in 1.1.22-r4"),
    Case(T.APK, "git-lfs", "2.0.0-r0", alpine("3.21.0_alpha20240807"), "CVE-2020-27955", False,
         "secdb edge lists it under the version 0: never affected"),
    Case(T.APK, "flatbuffers", "1.0.0-r0", alpine("3.21.0_alpha20240807"), "CVE-2020-35864", False,
         "likewise"),
    # Debian: source packages, epochs, binNMUs
    Case(T.DEB, "libssl3", "3.0.11-1~deb12u2", debian("12"), "CVE-2026-35189", True,
         "source openssl, fixed in 3.0.22-1~deb12u2", source="openssl", fixed="3.0.22-1~deb12u2"),
    Case(T.DEB, "libssl3", "3.0.22-1~deb12u2", debian("12"), "CVE-2026-35189", False, "the fix",
         source="openssl"),
    Case(T.DEB, "libssl3", "3.0.22-1~deb12u2+b1", debian("12"), "CVE-2026-35189", False,
         "a binNMU of the fix", source="openssl", source_version="3.0.22-1~deb12u2"),
    Case(T.DEB, "libssl3", "3.0.22-1", debian("12"), "CVE-2026-35189", False,
         "without ~ it is newer than with it", source="openssl"),
    Case(T.DEB, "libssl3", "3.0.11-1~deb12u2", debian("12"), "CVE-2026-35189", False,
         "a package of that name without its source: no list names libssl3"),
    Case(T.DEB, "libssl1.1", "1.1.1w-0+deb11u1", debian("11"), "CVE-2026-34180", True,
         "Debian 11 has a fix of its own: 1.1.1w-0+deb11u8", source="openssl",
         fixed="1.1.1w-0+deb11u8"),
    Case(T.DEB, "libssl1.1", "1.1.1w-0+deb11u10", debian("11"), "CVE-2026-34180", False,
         "u10 is newer than u8", source="openssl"),
    Case(T.DEB, "openssh-server", "1:8.4p1-5+deb11u3", debian("11"), "CVE-2025-61984", True,
         "fixed in 1:8.4p1-5+deb11u7", source="openssh", fixed="1:8.4p1-5+deb11u7"),
    Case(T.DEB, "openssh-server", "9.9p1-1", debian("11"), "CVE-2025-61984", True,
         "without the epoch 1 it is older than everything with it", source="openssh"),
    Case(T.DEB, "git", "1:2.39.5-0+deb12u3", debian("12"), "CVE-2025-48384", False,
         "the fix, epoch and all"),
    Case(T.DEB, "mount", "2.36.1-8+deb11u1", debian("11"), "CVE-2024-28085", True,
         "the source of mount is util-linux; fixed in 2.36.1-8+deb11u2", source="util-linux"),
    Case(T.DEB, "libc6", "2.31-13+deb11u13", debian("11"), "CVE-2025-15281", True,
         "the source of libc6 is glibc; fixed in u14", source="glibc"),
    Case(T.DEB, "libxml2", "2.9.14+dfsg-1.3~deb12u6", debian("12"), "CVE-2022-2309", False,
         "fixed in 1.3, which 1.3~deb12u1 was made from: ~ would sort it before the fix"),
    Case(T.DEB, "libssl3", "1.1.1w-0+deb11u8", debian("12"), "CVE-2026-35189", True,
         "a version of Debian 11 is older than the fix of Debian 12", source="openssl"),
    # AlmaLinux: epochs, releases, modules
    Case(T.RPM, "bash", "5.1.8-4.el9", alma("9.0"), "CVE-2022-3715", True,
         "ALSA-2023:0340 fixes it in 5.1.8-6.el9_1", fixed="5.1.8-6.el9_1"),
    Case(T.RPM, "bash", "5.1.8-6.el9_1", alma("9.2"), "CVE-2022-3715", False, "the fix"),
    Case(T.RPM, "bash", "5.1.8-9.el9", alma("9.4"), "CVE-2022-3715", False, "9 is more than 6"),
    Case(T.RPM, "bind", "32:9.11.26-3.el8", alma("8.4"), "CVE-2021-25214", True,
         "ALSA-2021:4384 fixes it in 32:9.11.26-6.el8"),
    Case(T.RPM, "bind", "9.11.36-3.el8", alma("8.6"), "CVE-2021-25214", True,
         "without the epoch 32 it is older"),
    Case(T.RPM, "nodejs", "1:10.23.1-1.module_el8.3.0+2047+b07ac28e", alma("8.3"), "CVE-2021-22883",
         True, "ALSA-2021:0735 is about the stream nodejs:10", module="nodejs:10"),
    Case(T.RPM, "nodejs", "1:10.24.0-1.module_el8.5.0+81+7dbe79d3", alma("8.5"), "CVE-2021-22883",
         False, "the fix of the stream", module="nodejs:10"),
    Case(T.RPM, "nodejs", "1:8.0.0-1.el8", alma("8.3"), "CVE-2021-22883", False,
         "outside of modules: versions of streams have no order with it"),
    # Go
    Case(T.GOLANG, "github.com/miekg/dns", "v1.0.3", NONE, "CVE-2017-15133", True,
         "GO-2020-0006: fixed in 1.0.4-0.20180125103619-43913f2f4fbd"),
    Case(T.GOLANG, "github.com/miekg/dns", "v1.0.4-0.20180125103619-43913f2f4fbd", NONE,
         "CVE-2017-15133", False, "the very commit of the fix"),
    Case(T.GOLANG, "github.com/miekg/dns", "v1.0.4-0.20180101000000-000000000000", NONE,
         "CVE-2017-15133", True, "a commit before the fix, of the same version to come"),
    Case(T.GOLANG, "stdlib", "1.14.11", NONE, "CVE-2020-28362", True,
         "GO-2021-0069: 1.14.0-0 to 1.14.12 and 1.15.0-0 to 1.15.5", fixed="1.14.12"),
    Case(T.GOLANG, "stdlib", "1.14.12", NONE, "CVE-2020-28362", False, "between the two ranges"),
    Case(T.GOLANG, "stdlib", "1.15.0", NONE, "CVE-2020-28362", True, "in the second range"),
    # PyPI
    Case(T.PYPI, "Flask", "2.2.4", NONE, "CVE-2023-30861", True,
         "PYSEC-2023-62: before 2.2.5, and 2.3.0 to 2.3.2", fixed="2.2.5"),
    Case(T.PYPI, "flask", "2.2.5", NONE, "CVE-2023-30861", False, "between the ranges"),
    Case(T.PYPI, "FLASK", "2.3.0", NONE, "CVE-2023-30861", True, "names in any case"),
    Case(T.PYPI, "requests", "2.6.0rc1", NONE, "CVE-2015-2296", True,
         "PYSEC-2015-17: fixed in 2.6.0, and a candidate is older than its release"),
    Case(T.PYPI, "py", "1.11.0", NONE, "CVE-2022-42969", True,
         "PYSEC-2022-42969: last affected 1.11.0, no fix"),
    Case(T.PYPI, "py", "1.11.1", NONE, "CVE-2022-42969", False, "after the last affected"),
    # npm
    Case(T.NPM, "minimist", "1.2.2", NONE, "CVE-2020-7598", True,
         "GHSA-vh95-rmgr-6w4m: second range, 1.0.0 to 1.2.3", fixed="1.2.3"),
    Case(T.NPM, "minimist", "0.2.1", NONE, "CVE-2020-7598", False, "the fix of the first range"),
    Case(T.NPM, "engine.io-client", "1.6.8", NONE, "NODE-SWG-99", True,
         "the working group's record 99: <= 1.6.8"),
    Case(T.NPM, "engine.io-client", "1.6.9", NONE, "NODE-SWG-99", False, "patched: >= 1.6.9"),
    # Maven, RubyGems, crates.io, NuGet
    Case(T.MAVEN, "org.apache.logging.log4j:log4j-core", "2.17.1", NONE, "CVE-2026-34480", True,
         "GHSA-3pxv-7cmr-fjr4: 2.0-alpha1 to 2.25.4", fixed="2.25.4"),
    Case(T.MAVEN, "org.apache.logging.log4j:log4j-core", "3.0.0-beta3", NONE, "CVE-2026-34480", True,
         "the second range ends with its last affected, a beta"),
    Case(T.MAVEN, "org.apache.logging.log4j:log4j-core", "3.0.0", NONE, "CVE-2026-34480", False,
         "the release is newer than the last affected beta"),
    Case(T.MAVEN, "log4j:log4j", "1.2.17", NONE, "GHSA-2qrg-x229-3v8q", True, "last affected 1.2.17"),
    Case(T.GEM, "rails", "3.0.3", NONE, "CVE-2011-0447", True, "3.0.0 to 3.0.4", fixed="3.0.4"),
    Case(T.GEM, "rails", "3.0.4.rc1", NONE, "CVE-2011-0447", True, "a candidate of the fix is older"),
    Case(T.CARGO, "smallvec", "1.6.0", NONE, "CVE-2021-25900", True, "1.0.0 to 1.6.1"),
    Case(T.CARGO, "smallvec", "0.6.14", NONE, "CVE-2021-25900", False, "the fix of the first range"),
    Case(T.NUGET, "jQuery", "3.4.1", NONE, "CVE-2020-23064", True, "names in any case; before 3.5.0"),
    Case(T.NUGET, "jQuery", "3.5.0", NONE, "CVE-2020-23064", False, "the fix"),
]  # fmt: skip


@pytest.fixture(scope="module")
def advisories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdvisoryFile]:
    if not DATA.is_dir():
        pytest.skip("the shared data is not here")
    path = tmp_path_factory.mktemp("advisories") / "a.db"
    found = [container for name in FEEDS for container in containers(DATA / name)]
    build(path, [feed_of(container, None, ()) for container in found], datetime.now(UTC))
    file = AdvisoryFile(path)
    yield file
    file.close()


def _of(case: Case, advisories: AdvisoryFile) -> dict[str, Vulnerability]:
    package = Package(
        case.type, case.name, case.version, b"x", "", case.source, case.source_version,
        module=case.module,
    )  # fmt: skip
    advice = advise([(package, case.release)], {}, advisories)[package]
    return {name: v for v in advice.vulnerabilities for name in v.every_name}


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}-{c.version}-{c.vulnerability}")
def test_golden_case(case: Case, advisories: AdvisoryFile) -> None:
    found = _of(case, advisories)
    assert (case.vulnerability in found) is case.expected, case.reason
    if case.fixed:
        assert found[case.vulnerability].fixed == case.fixed, case.reason


def test_withdrawn_records_are_not_found(advisories: AdvisoryFile) -> None:
    """PYSEC-2013-38 and others of the data are withdrawn; no name leads to them."""
    withdrawn = {"PYSEC-2013-38", "UBUNTU-CVE-2001-1593"}
    rows = advisories.affected(
        {("Ubuntu:14.04:LTS", "a2ps"), ("PyPI", "cinder"), ("PyPI", "keystone")}
    )
    assert not withdrawn & {advisory.id for found in rows.values() for advisory, _ in found}


def test_exploited_vulnerabilities_say_since_when(advisories: AdvisoryFile) -> None:
    case = Case(T.DEB, "git", "1:2.39.2-1", debian("12"), "CVE-2025-48384", True, "KEV 2025.08.25")
    found = _of(case, advisories)
    if "CVE-2025-48384" not in found:
        pytest.skip("the changelog's fixes do not name it")
    assert found["CVE-2025-48384"].exploited == "2025-08-25"


def test_bug_fix_errata_are_no_vulnerabilities(advisories: AdvisoryFile) -> None:
    rows = advisories.affected({("AlmaLinux:8", "koan"), ("AlmaLinux:8", "nss-altfiles")})
    assert not any(a.id.startswith(("ALBA", "ALEA")) for found in rows.values() for a, _ in found)
