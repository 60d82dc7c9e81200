"""Packages that apk installed: Alpine, Wolfi and their kin.

Source: Alpine wiki "Apk spec", "Installed database V2": records of one-letter fields `X:value`,
separated by blank lines. Read are P (name), V (version), A (architecture), o (origin, the source
package) and L (licence). Newer releases keep the database below `usr/lib`.
"""

from typing import NamedTuple

from layerproof.analysis.collecting import (
    SkipLog,
    database,
    licence,
    record_pattern,
    records,
    required,
    text,
)
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.analysis.os_release import PATHS, Distribution
from layerproof.model.entry import EntryTable
from layerproof.model.package import Package, PackageType

_DATABASES = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")
_FIELDS = record_pattern(b"[PVAoL]", b"PVAoL")


class _Record(NamedTuple):  # half the cost of a dataclass, for thousands of them
    name: str
    version: str
    architecture: str
    origin: str
    licence: str


def _record(fields: dict[bytes, bytes]) -> _Record:
    """Raises UnusableFieldError."""
    get = fields.get
    name = required(get(b"p", b""), "package name")
    origin = text(get(b"o", b""), "origin")
    return _Record(
        name,
        required(get(b"v", b""), "version"),
        text(get(b"a", b""), "architecture"),
        "" if origin == name else origin,
        licence(get(b"l", b"")),
    )


class _Collector:
    def __init__(self) -> None:
        self._databases: dict[bytes, list[_Record]] = {}
        self._distribution = Distribution()
        self._skipped = SkipLog(ApkAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        if self._distribution.file(path, data):
            return
        found = records(data, _FIELDS, b"p")
        self._databases[path] = database(path, found, _record, self._skipped)

    def finish(self, entries: EntryTable) -> Facts:
        distribution = self._distribution.id
        packages = tuple(
            Package(
                PackageType.APK,
                record.name,
                record.version,
                path,
                record.architecture,
                record.origin,
                "",
                record.licence,
                distribution,
            )
            for path, found in self._databases.items()
            for record in found
        )
        return Facts(packages, tuple(self._databases), {}, self._skipped.result())


class ApkAnalyser:
    """Packages only."""

    id = "apk"
    version = 1
    interest = Interest(paths=frozenset((*_DATABASES, *PATHS)))

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
