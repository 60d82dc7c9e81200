"""Packages that rpm installed, with their files, checksums and scriptlets.

Source: rpm, "RPM V4 Package format", "Header", and its list of tags. A blob of the database is a
header without its magic: number of entries and bytes of data (big-endian), the entries (tag, type,
offset, count), the data. Databases are read by `layerproof.analysis.rpmdb`.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from struct import Struct
from typing import Any

from layerproof.analysis import rpmdb
from layerproof.analysis.collecting import (
    SkipLog,
    UnusableFieldError,
    display,
    licence,
    required,
    text,
)
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.analysis.os_release import PATHS, Distribution
from layerproof.model.entry import EntryTable
from layerproof.model.ownership import CHECKSUM_BYTES, Checksum, Manifest, PackageScript
from layerproof.model.package import Package, PackageType

_FOLDERS = (b"var/lib/rpm/", b"usr/lib/sysimage/rpm/", b"usr/share/rpm/")
_WAL = b"-wal"
_FILES = (b"rpmdb.sqlite", b"rpmdb.sqlite-wal", b"Packages.db", b"Packages")
_DATABASES = frozenset(folder + name for folder in _FOLDERS for name in _FILES)
_MAX_ENTRIES = 65_536  # of one header
_MAX_FILES = 2_000_000  # of all packages of one layer
_ENTRY = Struct(">4I")
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}
_TEXTS = (6, 8, 9)
_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_LICENCE, _ARCH, _SOURCE, _MODULE = 1014, 1022, 1044, 5096
_FLAGS, _DIGESTS, _ALGORITHM = 1037, 1035, 5011
_FOLDER_OF, _NAMES, _FOLDER_NAMES = 1116, 1117, 1118
_CONFIG, _GHOST = 1, 64
_ALGORITHMS = {1: Checksum.MD5, 2: Checksum.SHA1, 8: Checksum.SHA256}
# Scriptlets by tag, and the program that runs each: another program is another script.
_SCRIPTS = {
    1023: ("rpm:pre", 1085),
    1024: ("rpm:post", 1086),
    1025: ("rpm:preun", 1087),
    1026: ("rpm:postun", 1088),
    1151: ("rpm:pretrans", 1153),
    1152: ("rpm:posttrans", 1154),
    5104: ("rpm:preuntrans", 5106),
    5105: ("rpm:postuntrans", 5107),
    1079: ("rpm:verify", 1091),
    1065: ("rpm:trigger", 1092),
    5066: ("rpm:filetrigger", 5067),
    5076: ("rpm:transfiletrigger", 5077),
}
_WANTED = frozenset(
    (
        *(_NAME, _VERSION, _RELEASE, _EPOCH, _LICENCE, _ARCH, _SOURCE, _MODULE, _FLAGS, _DIGESTS),
        *(_ALGORITHM, _FOLDER_OF, _NAMES, _FOLDER_NAMES),
        *_SCRIPTS,
        *(runner for _, runner in _SCRIPTS.values()),
    )
)

Header = Mapping[int, Any]  # texts: list of bytes; numbers: tuple


def header(blob: bytes) -> Header:
    """The tags that are used here. Raises UnusableFieldError."""
    if len(blob) < 8:
        raise UnusableFieldError("a header is cut")
    count, length = Struct(">2I").unpack_from(blob)
    start = 8 + 16 * count
    if count > _MAX_ENTRIES or start + length > len(blob):
        raise UnusableFieldError("a header is cut, or has too many entries")
    data = blob[start : start + length]
    found: dict[int, Any] = {}
    for tag, kind, offset, number in _ENTRY.iter_unpack(blob[8:start]):
        if tag not in _WANTED or tag in found:
            continue
        if kind in _TEXTS:
            # each text ends with a NUL: more texts than bytes there cannot be
            if offset > length or number > length - offset:
                raise UnusableFieldError(f"tag {tag} lies outside of its header")
            texts = data[offset:].split(b"\0", number)
            if len(texts) <= number:
                raise UnusableFieldError(f"tag {tag} lies outside of its header")
            found[tag] = texts[:number]
        elif kind in _WIDTHS:
            width = _WIDTHS[kind]
            if offset + width * number > length:
                raise UnusableFieldError(f"tag {tag} lies outside of its header")
            letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
            found[tag] = Struct(f">{number}{letter}").unpack_from(data, offset)
    return found


def _first(tags: Header, tag: int) -> bytes:
    found = tags.get(tag)
    return found[0] if found and isinstance(found[0], bytes) else b""


def package(tags: Header, path: bytes, distribution: str) -> Package:
    """Raises UnusableFieldError."""
    name = required(_first(tags, _NAME), "name")
    version = required(_first(tags, _VERSION), "version")
    release = required(_first(tags, _RELEASE), "release")
    epoch = tags.get(_EPOCH)
    full = f"{version}-{release}"
    if epoch and isinstance(epoch[0], int):
        full = f"{epoch[0]}:{full}"
    source, source_version = _source(text(_first(tags, _SOURCE), "source"))
    label = text(_first(tags, _MODULE), "module").split(":")
    return Package(
        PackageType.RPM,
        name,
        full,
        path,
        text(_first(tags, _ARCH), "architecture"),
        "" if source == name else source,
        "" if source_version == f"{version}-{release}" else source_version,
        licence(_first(tags, _LICENCE)),
        distribution,
        module=":".join(label[:2]) if len(label) >= 2 else "",
    )


def _source(file: str) -> tuple[str, str]:
    """Name and version of `bash-5.1.8-6.el9.src.rpm`."""
    stem = file.removesuffix(".src.rpm").removesuffix(".nosrc.rpm")
    if stem == file:
        return "", ""
    name, _, release = stem.rpartition("-")
    name, _, version = name.rpartition("-")
    return (name, f"{version}-{release}") if name and version else ("", "")


def manifests(tags: Header, path: bytes, name: str) -> Iterator[Manifest]:
    """Its files, those that people are expected to edit apart. Ghosts are owned, and no more."""
    names, folders = tags.get(_NAMES, ()), tags.get(_FOLDER_NAMES, ())
    indexes, flags = tags.get(_FOLDER_OF, ()), tags.get(_FLAGS, ())
    digests = tags.get(_DIGESTS, ())
    algorithm = tags.get(_ALGORITHM, (1,))
    checksum = _ALGORITHMS.get(algorithm[0] if algorithm else 1, Checksum.NONE)
    size = CHECKSUM_BYTES[checksum]
    if len(indexes) != len(names) or any(index >= len(folders) for index in indexes):
        raise UnusableFieldError("the lists of files do not fit each other")
    for config in (False, True):
        paths: list[bytes] = []
        raw: list[bytes] = []
        for number, (last, index) in enumerate(zip(names, indexes, strict=True)):
            flag = flags[number] if number < len(flags) else 0
            if bool(flag & _CONFIG) != config:
                continue
            written = digests[number] if number < len(digests) else b""
            paths.append((folders[index] + last).lstrip(b"/"))
            raw.append(_digest(b"" if flag & _GHOST else written, size))
        if paths:
            yield Manifest(
                path, PackageType.RPM, name, tuple(paths), checksum, b"".join(raw), config
            )


def _digest(written: bytes, size: int) -> bytes:
    try:
        found = bytes.fromhex(written.decode("ascii"))
    except ValueError:
        return bytes(size)
    return found if len(found) == size else bytes(size)


def scripts(tags: Header, path: bytes, name: str) -> Iterator[PackageScript]:
    """Its scriptlets and triggers."""
    for tag, (kind, runner) in _SCRIPTS.items():
        programs = tags.get(runner, ())
        for number, script in enumerate(tags.get(tag, ())):
            # `-p <lua>` and `-p /sbin/ldconfig` have a program, and maybe no text
            program = programs[number] if number < len(programs) else b""
            yield PackageScript(name, kind, path, sha256(program + b"\0" + script).digest())
        if tag not in tags and runner in tags:
            digest = sha256(b"\0".join(tags[runner]) + b"\0").digest()
            yield PackageScript(name, kind, path, digest)


class _Collector:
    def __init__(self) -> None:
        self._files: dict[bytes, bytes] = {}
        self._distribution = Distribution()
        self._skipped = SkipLog(RpmAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        if not self._distribution.file(path, data):
            self._files[path] = data

    def finish(self, entries: EntryTable) -> Facts:
        packages: dict[tuple[object, ...], Package] = {}
        owned: list[Manifest] = []
        brought: list[PackageScript] = []
        paths = [path for path in self._files if not path.endswith(_WAL)]
        left = _MAX_FILES
        for path in paths:
            for tags in self._headers(path):
                try:
                    found = package(tags, path, self._distribution.id)
                    name = display(_first(tags, _NAME))
                    lists = list(manifests(tags, path, name))
                except UnusableFieldError as error:
                    self._skipped.add(path, f"a package was not used: {error}")
                    continue
                packages[path, found.name, found.version, found.architecture] = found
                brought += scripts(tags, path, name)
                left -= sum(len(item.paths) for item in lists)
                if left >= 0:
                    owned += lists
        if left < 0:
            self._skipped.add(b"", f"more than {_MAX_FILES} owned paths in one layer")
        self._files.clear()
        return Facts(
            packages=tuple(packages.values()),
            package_files=tuple(paths),
            skipped=self._skipped.result(),
            # one that lists nothing takes back what a lower layer's said
            manifests=tuple(owned)
            + tuple(
                Manifest(path, PackageType.RPM, "")
                for path in paths
                if not any(manifest.path == path for manifest in owned)
            ),
            scripts=tuple(brought),
        )

    def _headers(self, path: bytes) -> Iterator[Header]:
        found = rpmdb.blobs(self._files[path], self._files.get(path + _WAL, b""))
        while True:
            try:
                blob = next(found, None)
                if blob is None:
                    return
                tags = header(blob)
            except UnusableFieldError as error:
                self._skipped.add(path, str(error))
                continue
            yield tags


class RpmAnalyser:
    """Packages, manifests and scripts."""

    id = "rpm"
    version = 1
    interest = Interest(paths=frozenset((*_DATABASES, *PATHS)))

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
