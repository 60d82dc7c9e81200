"""Installed Python distributions.

Source: PyPA "Core metadata specifications" and "Recording installed projects". Read are
`*.dist-info/METADATA`, `*.egg-info/PKG-INFO`, `*.egg/EGG-INFO/PKG-INFO` and single-file
`*.egg-info`, in any folder: virtual environments and vendored copies run too. Only the header
block counts; it ends at the first blank line. The first field of a name wins, as in `email`.
"""

import re

from layerproof.analysis.collecting import (
    OneFileEach,
    licence,
    required,
)
from layerproof.analysis.interface import Collector, Interest
from layerproof.model.package import Package, PackageType

_MAX_HEADER = 1 << 20
_FIELDS = re.compile(rb"\n(?i:(Name|Version|License-Expression|License)[ \t]*:)([^\n]*)")
_CLASSIFIER = re.compile(rb"\n(?i:Classifier)[ \t]*:[ \t]*License ::([^\n]*)")
_FOLDERS = {b"METADATA": (b".dist-info",), b"PKG-INFO": (b".egg-info", b"/EGG-INFO")}


def accepts(path: bytes) -> bool:
    """Whether the path is where installers put the metadata of an installed distribution."""
    folder, slash, name = path.rpartition(b"/")
    wanted = _FOLDERS.get(name)
    if wanted is not None:
        return bool(slash) and (b"/" + folder).endswith(wanted)
    return name.endswith(b".egg-info") and name != b".egg-info"


def _header(data: bytes) -> bytes:
    """The header block, with a line end before its first line."""
    end = data.find(b"\n\n", 0, _MAX_HEADER)
    end = _MAX_HEADER if end < 0 else end
    crlf = data.find(b"\n\r\n", 0, end)
    return b"\n" + data[: crlf if crlf >= 0 else end]


def _licence(fields: dict[bytes, bytes], header: bytes) -> str:
    """The SPDX expression, else the older free text, else what the classifiers say."""
    for name in (b"license-expression", b"license"):
        found = licence(fields.get(name, b""))
        if found and found != "UNKNOWN":
            return found
    classifiers = _CLASSIFIER.findall(header)
    return ", ".join(licence(value.rpartition(b"::")[2]) for value in classifiers[:8])


def parse(path: bytes, data: bytes) -> Package:
    """The distribution that a metadata file states. Raises UnusableFieldError."""
    header = _header(data)
    # reversed: of fields with one name, the first one stays
    fields = {name.lower(): value for name, value in reversed(_FIELDS.findall(header))}
    return Package(
        PackageType.PYPI,
        required(fields.get(b"name", b""), "Name field"),
        required(fields.get(b"version", b""), "Version field"),
        path,
        licence=_licence(fields, header),
    )


class PythonAnalyser:
    """Packages only."""

    id = "python"
    version = 1
    interest = Interest(
        names=frozenset(_FOLDERS),
        suffixes=(b".egg-info",),
        accepts=accepts,
    )

    def start(self) -> Collector:
        """A fresh collector."""
        return OneFileEach(self.id, accepts, parse)
