"""Which ecosystem answers for a package, and under which name and version.

Source: OSV schema 1.7, "Defined ecosystems". Debian, Ubuntu and Alpine (and its kin) publish by
source package, so a binary package is asked for by its source and the source's version; rpm
distributions publish by binary package; languages by name.
"""

import re
from typing import NamedTuple

from layerproof.advisories.order import SCHEMES
from layerproof.model.package import Package, PackageType
from layerproof.model.release import Release

_LANGUAGES = {
    PackageType.PYPI: "PyPI",
    PackageType.NPM: "npm",
    PackageType.GOLANG: "Go",
    PackageType.MAVEN: "Maven",
    PackageType.GEM: "RubyGems",
    PackageType.CARGO: "crates.io",
    PackageType.COMPOSER: "Packagist",
    PackageType.NUGET: "NuGet",
}
_SEPARATORS = re.compile(r"[-_.]+")
_ANY_CASE = ("PyPI", "Packagist", "NuGet")
# os-release ID → the ecosystem; releases are named by the first number of VERSION_ID
_BY_MAJOR = {
    "debian": "Debian",
    "almalinux": "AlmaLinux",
    "rocky": "Rocky Linux",
    "rhel": "Red Hat",
    "mageia": "Mageia",
    "azurelinux": "Azure Linux",
}
_ROLLING = {"wolfi": "Wolfi", "chainguard": "Chainguard", "minimos": "MinimOS"}
_RED_HAT = re.compile(r"Red Hat:enterprise_linux:(\d+)(?:\.\d+)?(?:::.*)?")
_ALPINE = re.compile(r"(\d+\.\d+)(\.\d+|$|_)")


class Query(NamedTuple):
    """What a feed is asked: versions are ordered by `scheme`."""

    ecosystem: str
    name: str
    version: str
    scheme: str


def ecosystem_of(package: Package, release: Release) -> str | None:
    """The ecosystem that answers for the package; None if there is none or it cannot be told."""
    language = _LANGUAGES.get(package.type)
    if language is not None:
        return language
    known = release.id in _DISTRIBUTIONS.get(package.type, frozenset())
    return distribution(release) if known else None


def distribution(release: Release) -> str | None:  # noqa: PLR0911  one kind of system after another
    """The ecosystem of a distribution's release."""
    if release.id in _ROLLING:
        return _ROLLING[release.id]
    if release.id == "alpine":
        match = _ALPINE.match(release.version)
        if match is None:
            return None
        return "Alpine:edge" if "_alpha" in release.version else f"Alpine:v{match[1]}"
    if release.id == "ubuntu":
        year, _, month = release.version.partition(".")
        if not (year.isdigit() and month.isdigit()):
            return None
        lts = month == "04" and int(year[:4]) % 2 == 0
        return f"Ubuntu:{release.version}" + (":LTS" if lts else "")
    if release.id in ("opensuse-leap", "openeuler"):
        name = {"opensuse-leap": "openSUSE:Leap ", "openeuler": "openEuler:"}[release.id]
        return name + release.version if release.version else None
    major = release.version.partition(".")[0]
    if release.id in _BY_MAJOR and major.isdigit():
        return f"{_BY_MAJOR[release.id]}:{major}"
    return None


_DISTRIBUTIONS = {
    PackageType.DEB: frozenset(("debian", "ubuntu")),
    PackageType.APK: frozenset(("alpine", *_ROLLING)),
    PackageType.RPM: frozenset(
        ("almalinux", "rocky", "rhel", "mageia", "azurelinux", "opensuse-leap", "openeuler")
    ),
}


def query(package: Package, release: Release) -> Query | None:
    """What to ask about a package; None as for `ecosystem_of`."""
    ecosystem = ecosystem_of(package, release)
    if ecosystem is None:
        return None
    name, version = package.name, package.version
    if package.type in (PackageType.DEB, PackageType.APK):
        name = package.source or name
        version = package.source_version or version
    elif package.type is PackageType.PYPI:
        # a local version is the public one, patched or built elsewhere (PEP 440)
        version = version.partition("+")[0]
    return Query(ecosystem, normal_name(ecosystem, name), version, SCHEMES[package.type])


def normal_name(ecosystem: str, name: str) -> str:
    """A package's name as the ecosystem compares names (PyPA "Names and normalization")."""
    if ecosystem == "PyPI":
        return _SEPARATORS.sub("-", name).lower()
    return name.lower() if ecosystem in _ANY_CASE else name


def normal_ecosystem(written: str) -> str:
    """An ecosystem as feeds write it, under the name that is asked for here."""
    match = _RED_HAT.fullmatch(written)
    if match is not None:
        return f"Red Hat:{match[1]}"
    # `Packagist:https://…`: another registry's packages, which nobody can tell from an image
    return written


def scheme_of(ecosystem: str) -> str:
    """How the ecosystem orders versions; "" for one that no package is asked in."""
    base = ecosystem.partition(":")[0]
    for kind, name in _LANGUAGES.items():
        if name == base:
            return SCHEMES[kind]
    if base in ("Debian", "Ubuntu"):
        return "dpkg"
    if base in ("Alpine", *_ROLLING.values()):
        return "apk"
    return "rpm" if base in (*_BY_MAJOR.values(), "openSUSE", "openEuler") else ""
