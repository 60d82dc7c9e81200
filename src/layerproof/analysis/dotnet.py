""".NET packages of applications and runtimes, by their `*.deps.json`.

Source: dotnet/sdk, "Runtime configuration files": `{"libraries": {"NAME/VERSION": {"type":
"package"}}}`. A library of another type is a project's own, or a file beside it;
`runtimepack.NAME` is the runtime that a self-contained application carries.
"""

from collections.abc import Iterator

from layerproof.analysis.collecting import (
    ManyInOneFile,
    UnusableFieldError,
    json_object,
    required,
)
from layerproof.analysis.interface import Collector, Interest
from layerproof.model.package import Package, PackageType

_SUFFIX = b".deps.json"
_PACKAGES = ("package", "runtimepack")


def parse(path: bytes, data: bytes) -> Iterator[Package]:
    """The packages of an application. Raises UnusableFieldError."""
    libraries = json_object(data).get("libraries")
    if not isinstance(libraries, dict):
        raise UnusableFieldError("no libraries")
    for written, library in libraries.items():
        if not isinstance(library, dict) or library.get("type") not in _PACKAGES:
            continue
        name, slash, version = str(written).removeprefix("runtimepack.").rpartition("/")
        if not slash:
            raise UnusableFieldError("a library without a version")
        yield Package(
            PackageType.NUGET,
            required(name.encode("utf-8", "replace"), "name"),
            required(version.encode("utf-8", "replace"), "version"),
            path,
        )


class DotnetAnalyser:
    """Packages only."""

    id = "dotnet"
    version = 1
    interest = Interest(suffixes=(_SUFFIX,))

    def start(self) -> Collector:
        """A fresh collector."""
        return ManyInOneFile(self.id, lambda path: path.endswith(_SUFFIX), parse)
