"""Go modules in programs, by the build information that Go's linker puts into each.

Source: Go's debug/buildinfo and runtime/debug.BuildInfo: the section `.go.buildinfo` begins with a
magic; from Go 1.18 on, the Go version and the module list follow 32 bytes later, each after its
length. The standard library is the module `stdlib` in the version of Go, as OSV has it. A replaced
module counts as what it was replaced by.
"""

import re

from layerproof.analysis.collecting import SkipLog, UnusableFieldError, required
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.model.entry import EntryTable
from layerproof.model.package import Package, PackageType

_MAGIC = b"\xff Go buildinf:"
_INLINE = 2
_CANDIDATE = re.compile(rb"^(\d+\.\d+)((?:rc|beta)\d+)$")  # `1.21rc2`, to OSV `1.21.0-rc2`
_MAX_MODULES = 20_000
_SENTINEL = 16  # bytes before and after the module list


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Raises UnusableFieldError."""
    value = shift = 0
    while at < len(data) and shift < 63:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise UnusableFieldError("the build information is cut")


def _number(version: bytes) -> bytes:
    """`1.22.1` of `go1.22.1 X:boringcrypto`."""
    return version[2:].partition(b" ")[0]


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _varint(data, at)
    if at + length > len(data):
        raise UnusableFieldError("the build information is cut")
    return data[at : at + length], at + length


def parse(path: bytes, data: bytes) -> list[Package]:
    """The modules of a program. Raises UnusableFieldError."""
    start = data.find(_MAGIC)
    if start < 0 or len(data) < start + 33:
        raise UnusableFieldError("no build information in .go.buildinfo, or cut")
    if not data[start + 15] & _INLINE:
        raise UnusableFieldError("built by Go before 1.18, whose build information is not read")
    version, at = _string(data, start + 32)
    modules, _ = _string(data, at)
    found = []
    if version.startswith(b"go"):
        found.append(_package(path, b"stdlib", _CANDIDATE.sub(rb"\1.0-\2", _number(version))))
    lines = modules[_SENTINEL:-_SENTINEL].split(b"\n")
    if len(lines) > _MAX_MODULES:
        raise UnusableFieldError(f"more than {_MAX_MODULES} lines of build information")
    for line in lines:
        word, *fields = line.split(b"\t")
        if word in (b"mod", b"dep") and len(fields) >= 2:
            found.append(_package(path, fields[0], fields[1]))
        elif word == b"=>" and len(fields) >= 2 and found and fields[1]:
            found[-1] = _package(path, fields[0], fields[1])
    return found


def _package(path: bytes, name: bytes, version: bytes) -> Package:
    module = required(name, "module path")
    return Package(PackageType.GOLANG, module, required(version or b"(devel)", "version"), path)


class _Collector:
    def __init__(self) -> None:
        self._found: dict[bytes, list[Package]] = {}
        self._skipped = SkipLog(GoAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        try:
            self._found[path] = parse(path, data)
        except UnusableFieldError as error:
            self._found[path] = []
            self._skipped.add(path, str(error))

    def finish(self, entries: EntryTable) -> Facts:
        packages = tuple(package for found in self._found.values() for package in found)
        return Facts(packages, tuple(self._found), {}, self._skipped.result())


class GoAnalyser:
    """Packages only."""

    id = "go"
    version = 1
    interest = Interest(section=b".go.buildinfo")

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
