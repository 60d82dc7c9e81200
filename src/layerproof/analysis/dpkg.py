"""Packages that dpkg installed: its status database, and distroless images' `status.d` files.

Source: dpkg(1) "Package states", deb822(5), deb-src-control(5) "Source". Field names are read in
any case. A package counts as installed from the moment its files are unpacked. A record without
`Status` counts as installed: `status.d` files have none, and to list too much is the safe error.
"""

import re
from typing import NamedTuple

from layerproof.analysis.collecting import (
    SkipLog,
    UnusableFieldError,
    database,
    record_pattern,
    records,
    required,
    text,
)
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.analysis.os_release import PATHS, Distribution
from layerproof.model.entry import EntryTable
from layerproof.model.package import Package, PackageType

_STATUS = b"var/lib/dpkg/status"
_STATUS_D = b"var/lib/dpkg/status.d"
_FIELDS = record_pattern(b"(?i:Package|Version|Architecture|Status|Source)", b"PVASpvas")
_SOURCE = re.compile(r"(\S+)(?:\s*\(([^()]*)\))?")
_NOT_INSTALLED = frozenset(("not-installed", "config-files", "half-installed"))
_MAX_LISTED = 1_000  # packages in each list of `data`


class _Record(NamedTuple):  # half the cost of a dataclass, for thousands of them
    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    state: str

    @property
    def fact(self) -> dict[str, str]:
        return {
            "name": self.name,
            "version": self.version,
            "architecture": self.architecture,
            "status": self.state,
        }


def _record(fields: dict[bytes, bytes]) -> _Record:
    """Raises UnusableFieldError."""
    get = fields.get
    name = required(get(b"package", b""), "package name")
    state = text(get(b"status", b"installed"), "status").rpartition(" ")[2]
    # what was removed with its configuration may have no version
    read_version = text if state in _NOT_INSTALLED else required
    source, source_version = "", ""
    if b"source" in fields:
        match = _SOURCE.fullmatch(text(fields[b"source"], "source"))
        if match is None:
            raise UnusableFieldError("source is not a name and a version")
        source, source_version = match[1], match[2] or ""
    return _Record(
        name,
        read_version(get(b"version", b""), "version"),
        text(get(b"architecture", b""), "architecture"),
        "" if source == name else source,
        source_version,
        state,
    )


class _Collector:
    def __init__(self) -> None:
        self._databases: dict[bytes, list[_Record]] = {}
        self._distribution = Distribution()
        self._skipped = SkipLog(DpkgAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        if self._distribution.file(path, data):
            return
        found = records(data, _FIELDS, b"package")
        self._databases[path] = database(path, found, _record, self._skipped)

    def finish(self, entries: EntryTable) -> Facts:
        distribution = self._distribution.id
        packages: list[Package] = []
        lists: dict[str, list[dict[str, str]]] = {"notInstalled": [], "unfinished": []}
        for path, found in self._databases.items():
            for record in found:
                if record.state not in _NOT_INSTALLED:
                    packages.append(_package(record, path, distribution))
                if record.state != "installed":
                    kind = "notInstalled" if record.state in _NOT_INSTALLED else "unfinished"
                    if len(lists[kind]) < _MAX_LISTED:
                        lists[kind].append(record.fact)
        return Facts(
            packages=tuple(packages),
            package_files=tuple(self._databases),
            data={kind: listed for kind, listed in lists.items() if listed},
            skipped=self._skipped.result(),
        )


def _package(record: _Record, path: bytes, distribution: str) -> Package:
    return Package(
        PackageType.DEB,
        record.name,
        record.version,
        path,
        record.architecture,
        record.source,
        record.source_version,
        "",
        distribution,
    )


def _accepts(path: bytes) -> bool:
    return not path.endswith(b".md5sums")


class DpkgAnalyser:
    """`data`: {"notInstalled": […], "unfinished": […]}: what is known to dpkg but gone, or not
    wholly set up; each {"name", "version", "architecture", "status"}."""

    id = "dpkg"
    version = 1
    interest = Interest(
        paths=frozenset((_STATUS, *PATHS)), folders=frozenset((_STATUS_D,)), accepts=_accepts
    )

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
