"""Package URLs: purl-spec 1.0 and its list of types."""

from urllib.parse import quote

from layerproof.model.package import Package, PackageType

_NAMESPACES = {PackageType.DEB: "debian", PackageType.APK: "alpine", PackageType.RPM: ""}
_SLASHED = frozenset(
    (PackageType.NPM, PackageType.GOLANG, PackageType.COMPOSER)
)  # the namespace stands before the last slash of the name


def _part(text: str) -> str:
    return quote(text, safe=".-_~+").replace("+", "%2B")


def purl(package: Package) -> str:
    """The package's URL. Total: whatever an image states is escaped."""
    kind, name, namespace = package.type, package.name, ""
    qualifiers: dict[str, str] = {}
    version = package.version
    if kind in _SLASHED:
        namespace, _, name = name.rpartition("/")
    elif kind is PackageType.MAVEN:
        namespace, _, name = name.rpartition(":")
    elif kind is PackageType.PYPI:
        name = name.lower().replace("_", "-")
    elif kind in _NAMESPACES:
        namespace = package.distribution or _NAMESPACES[kind]
    if kind in (PackageType.COMPOSER, PackageType.GOLANG):
        namespace, name = namespace.lower(), name.lower()
    if package.architecture:
        qualifiers["arch"] = package.architecture
    if kind is PackageType.RPM:
        epoch, colon, rest = version.partition(":")
        if colon and epoch.isdigit():
            qualifiers["epoch"], version = epoch, rest
    space = "".join(_part(segment) + "/" for segment in namespace.split("/") if segment)
    words = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(qualifiers.items()))
    at = "@" + quote(version, safe=".-_~:+").replace("+", "%2B") if version else ""
    return f"pkg:{kind}/{space}{_part(name)}{at}{'?' + words if words else ''}"
