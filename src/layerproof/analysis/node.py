"""Installed Node packages, by their `package.json`.

Source: npm docs "package.json" and "folders"; Node.js "Loading from node_modules folders".

- Below a `node_modules` folder, an installed package stands at `NAME/package.json` or
  `@SCOPE/NAME/package.json` after the last `node_modules/`. Whatever else is there (module type
  markers such as `dist/esm/package.json`, test fixtures, templates) is not installed: Node resolves
  no package from it. There, a name and a version are required, or the file is reported.
- Elsewhere (`app/package.json`, `usr/share/nodejs/…`) every manifest with a name and a version is
  a package; one without both is a project's or a module type marker, and is no package.
"""

from layerproof.analysis.collecting import (
    OneFileEach,
    UnusableFieldError,
    licence,
    required,
)
from layerproof.analysis.interface import Collector, Interest
from layerproof.model.package import Package, PackageType

_NAME = b"package.json"
_BOM = b"\xef\xbb\xbf"


def _installed(path: bytes) -> bool | None:
    """Whether it stands where npm installs; None: not below a `node_modules` folder."""
    _, below, rest = (b"/" + path).rpartition(b"/node_modules/")
    if not below:
        return None
    depth = 2 if rest.startswith(b"@") else 1
    return rest.count(b"/") == depth and not rest.startswith(b".")


def accepts(path: bytes) -> bool:
    """Whether the path can be that of an installed package."""
    return _installed(path) is not False


def _string(value: object, what: str) -> str:
    """Raises UnusableFieldError."""
    if value is None:
        raise UnusableFieldError(f"no {what}")
    if not isinstance(value, str):
        raise UnusableFieldError(f"{what} is not a string")
    return required(value.encode(), what)  # always encodes: msgspec refuses lone surrogates


def _licence_of(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("type")
    return licence(value.encode()) if isinstance(value, str) else ""


def _licence(current: object, old: object) -> str:
    """The SPDX string, the old `{"type"}` object, or the older list of alternatives."""
    found = _licence_of(current)
    if found or not isinstance(old, list):
        return found or _licence_of(old)
    return " OR ".join(filter(None, map(_licence_of, old[:8])))


def parse(path: bytes, data: bytes) -> Package | None:
    """The package, or None when the file is no package's manifest. Raises UnusableFieldError."""
    # msgspec costs 10 ms to load, which only layers with Node packages should pay
    from layerproof.analysis import node_manifest

    try:
        manifest = node_manifest.decode(data.removeprefix(_BOM))
    except (node_manifest.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableFieldError("not a JSON object") from error
    if not _installed(path) and (manifest.name is None or manifest.version is None):
        return None
    return Package(
        PackageType.NPM,
        _string(manifest.name, "name"),
        _string(manifest.version, "version"),
        path,
        licence=_licence(manifest.license, manifest.licenses),
    )


class NodeAnalyser:
    """Packages only."""

    id = "node"
    version = 1
    interest = Interest(names=frozenset((_NAME,)), accepts=accepts)

    def start(self) -> Collector:
        """A fresh collector."""
        return OneFileEach(self.id, accepts, parse)
