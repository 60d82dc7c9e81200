"""Installed packages as found in a layer, and how a layer changes them."""

from dataclasses import dataclass
from enum import StrEnum


class PackageType(StrEnum):
    """purl types (package-url/purl-spec, types)."""

    DEB = "deb"
    APK = "apk"
    RPM = "rpm"
    PYPI = "pypi"
    NPM = "npm"
    GOLANG = "golang"
    MAVEN = "maven"
    GEM = "gem"
    CARGO = "cargo"
    COMPOSER = "composer"
    NUGET = "nuget"


_LOCK_FILES = frozenset(
    (
        b"Cargo.lock",
        b"Gemfile.lock",
        b"composer.lock",
        b"npm-shrinkwrap.json",
        b"package-lock.json",
        b"pnpm-lock.yaml",
        b"yarn.lock",
    )
)
SYSTEM_TYPES = frozenset((PackageType.DEB, PackageType.APK, PackageType.RPM))


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One installed package, as one database record or metadata file states it."""

    type: PackageType
    name: str
    version: str  # with epoch, as the package manager writes it
    path: bytes  # the file that states it: var/lib/dpkg/status, …/METADATA, …/package.json
    architecture: str = ""
    source: str = ""  # source package; "" when it is the name
    source_version: str = ""  # "" when it is the version
    licence: str = ""
    distribution: str = ""  # os-release ID of the layer stack where known: debian, alpine
    module: str = ""  # RHEL module and stream of an rpm: `nodejs:12`
    # the distribution's package that the files of this one belong to; known for a place in a stack
    owner: str = ""

    @property
    def locked(self) -> bool:
        """Whether it is only named by a lock file, and need not be installed."""
        return self.path.rpartition(b"/")[2] in _LOCK_FILES

    @property
    def purl(self) -> str:
        """Package URL (`layerproof.model.purl`)."""
        from layerproof.model.purl import purl  # here: it costs every start 4 ms, few need it

        return purl(self)


class PackageChangeKind(StrEnum):
    """What a layer did to a package of the layers below."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"  # another version of the same name and architecture in the same place


@dataclass(frozen=True, slots=True)
class PackageChange:
    """`before` is None when added, `after` is None when removed."""

    kind: PackageChangeKind
    before: Package | None
    after: Package | None

    @property
    def package(self) -> Package:
        """The package as it is now, or as it was when it is gone."""
        package = self.after or self.before
        assert package is not None
        return package
