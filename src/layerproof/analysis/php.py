"""PHP packages: what Composer installed (`vendor/composer/installed.json`), and `composer.lock`.

Source: Composer documentation, "composer.lock", and Composer\\Repository\\FilesystemRepository:
`{"packages": [{"name", "version", "license"}]}`; before Composer 2 a bare list.
"""

from collections.abc import Iterator

from layerproof.analysis.collecting import (
    ManyInOneFile,
    UnusableFieldError,
    field,
    json_value,
    licence,
)
from layerproof.analysis.interface import Collector, Interest
from layerproof.model.package import Package, PackageType

_INSTALLED = b"composer/installed.json"
_LOCK = b"composer.lock"


def accepts(path: bytes) -> bool:
    """Whether the path is where Composer writes."""
    return path.rpartition(b"/")[2] == _LOCK or (b"/" + path).endswith(b"/" + _INSTALLED)


def parse(path: bytes, data: bytes) -> Iterator[Package]:
    """The packages of a file. Raises UnusableFieldError."""
    document = json_value(data)
    listed = document.get("packages") if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise UnusableFieldError("no list of packages")
    for item in listed:
        if not isinstance(item, dict):
            raise UnusableFieldError("a package is no object")
        names = item.get("license")
        first = names[0] if isinstance(names, list) and names else names
        yield Package(
            PackageType.COMPOSER,
            field(item, "name"),
            field(item, "version"),
            path,
            licence=licence(first.encode("utf-8", "replace")) if isinstance(first, str) else "",
        )


class PhpAnalyser:
    """Packages only."""

    id = "php"
    version = 1
    interest = Interest(names=frozenset((_LOCK, b"installed.json")), accepts=accepts)

    def start(self) -> Collector:
        """A fresh collector."""
        return ManyInOneFile(self.id, accepts, parse)
