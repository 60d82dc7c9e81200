"""Installed packages as found in a layer, and how a layer changes them."""

from dataclasses import dataclass
from enum import StrEnum


class PackageType(StrEnum):
    """purl types (package-url/purl-spec, types)."""

    DEB = "deb"
    APK = "apk"
    PYPI = "pypi"
    NPM = "npm"


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

    @property
    def purl(self) -> str:
        """Package URL (purl-spec 1.0)."""
        from urllib.parse import quote  # here: it costs every start 4 ms, and few need it

        name, namespace = self.name, ""
        if self.type is PackageType.NPM and name.startswith("@") and "/" in name:
            namespace, _, name = name.partition("/")
        elif self.type is PackageType.PYPI:
            name = name.lower().replace("_", "-")
        elif self.type in (PackageType.DEB, PackageType.APK):
            namespace = self.distribution or {"deb": "debian", "apk": "alpine"}[self.type]
        space = quote(namespace, safe="") + "/" if namespace else ""
        name = quote(name, safe=".-_~+").replace("+", "%2B")
        arch = f"?arch={quote(self.architecture, safe='')}" if self.architecture else ""
        version = quote(self.version, safe=".-_~:+").replace("+", "%2B")
        return f"pkg:{self.type}/{space}{name}@{version}{arch}"


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
