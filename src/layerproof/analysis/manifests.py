"""What package databases say about files: who owns them, and their checksums.

- dpkg: `info/NAME.list` (every path) and `info/NAME.md5sums` (regular files other than conffiles),
  of distroless images `status.d/NAME.md5sums`; conffiles with their MD5 in the status database
  (dpkg-query(1), deb-conffiles(5), deb-md5sums(5)).
- apk: `F:` folder, `R:` file and `Z:` checksum lines of the installed database, `Q1` and the base64
  of a SHA-1 (Alpine wiki "Apk spec"). apk treats all of `/etc` as files that people edit.
- Python: `RECORD` (PyPA "Recording installed projects"), paths relative to the folder above
  `.dist-info`.

A checksum that cannot be read is left out: its file then counts as owned, without a checksum.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from posixpath import normpath

from layerproof.analysis.collecting import SkipLog
from layerproof.analysis.interface import Collector, Facts, Interest
from layerproof.model.entry import DIRECTORY, EntryTable
from layerproof.model.ownership import Checksum, Manifest
from layerproof.model.package import PackageType

_INFO = b"var/lib/dpkg/info/"
_STATUS = b"var/lib/dpkg/status"
_STATUS_D = b"var/lib/dpkg/status.d/"
_APK = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")
_RECORD = b".dist-info/RECORD"
_MD5_LINE = re.compile(rb"^([0-9a-f]{32}) [ *](.+)$", re.MULTILINE)
_CONFFILES = re.compile(
    rb"^(?i:Package):[ \t]*(\S+)|^(?i:Conffiles):((?:\n[ \t].*)+)", re.MULTILINE
)
_CONFFILE = re.compile(rb"\n[ \t]+/(.+) ([0-9a-f]{32})(?= |\n|$)")
# path, maybe in quotes as csv writes it; the digest, if it is a sha256
_RECORD_LINE = re.compile(
    rb'^(?:"((?:[^"\n]|"")+)"|([^",\n]+)),(?:sha256=([\w-]{43}))?[^,\n]*,', re.MULTILINE
)
# The prefix of a site folder: `usr/local/` of `usr/local/lib/python3.11/site-packages/`
_INSTALLED_BY_PIP = re.compile(rb"^(.*?/|)lib(?:64)?/python[^/]*/(?:site|dist)-packages/$")
_APK_LINE = re.compile(rb"^([PFRZ]):(.*)$", re.MULTILINE)
_NOTHING = Manifest(b"", PackageType.DEB, "")
MAX_FILES = 2_000_000  # owned paths of one layer


def accepts(path: bytes) -> bool:
    """Whether the file is one of the above."""
    if path.startswith((_INFO, _STATUS_D)):
        return path.endswith((b".md5sums", b".list"))
    return path == _STATUS or path in _APK or path.endswith(_RECORD)


class _Collector:
    def __init__(self) -> None:
        self._found: dict[bytes, tuple[Manifest, ...]] = {}
        self._left = MAX_FILES
        self._skipped = SkipLog(ManifestsAnalyser.id)

    def file(self, path: bytes, index: int, data: bytes) -> None:
        if not accepts(path):
            return
        found = tuple(_manifests(path, data))
        count = sum(len(manifest.paths) for manifest in found)
        if count > self._left:
            self._skipped.add(path, f"more than {MAX_FILES} owned paths in one layer")
            found = ()
        else:
            self._left -= count
        # One that lists nothing stands for itself: it takes back what a lower layer's said.
        self._found[path] = found or (Manifest(path, PackageType.DEB, ""),)

    def finish(self, entries: EntryTable) -> Facts:
        folders = {
            path
            for path, kind in zip(entries.paths, entries.kinds, strict=True)
            if kind == DIRECTORY
        }
        every = (manifest for found in self._found.values() for manifest in found)
        return Facts(
            manifests=tuple(self._lean(manifest, folders) for manifest in every),
            skipped=self._skipped.result(),
        )

    def _lean(self, manifest: Manifest, folders: set[bytes]) -> Manifest:
        """A `.list` without folders, and without what the package's `.md5sums` beside it says:
        that is nine tenths of it."""
        if not manifest.path.endswith(b".list"):
            return manifest
        (beside,) = self._found.get(manifest.path[:-5] + b".md5sums", (_NOTHING,))
        left = set(manifest.paths) - folders - set(beside.paths)
        return replace(manifest, paths=tuple(sorted(left)))


def _manifests(path: bytes, data: bytes) -> Iterator[Manifest]:
    if path in _APK:
        yield from _apk(path, data)
    elif path == _STATUS:
        yield from _conffiles(path, data)
    elif path.endswith(_RECORD):
        yield from _record(path, data)
    else:
        package = _text(path.rpartition(b"/")[2].rpartition(b".")[0])
        if path.endswith(b".md5sums"):
            yield _md5(path, package, _MD5_LINE.findall(data))
        else:
            lines = data.split(b"\n")
            paths = tuple([line[1:] for line in lines if line[:1] == b"/" and len(line) > 2])
            yield Manifest(path, PackageType.DEB, package, paths)


def _md5(
    path: bytes, package: str, lines: list[tuple[bytes, bytes]], *, config: bool = False
) -> Manifest:
    digests = bytes.fromhex(b"".join([digest for digest, _ in lines]).decode())
    paths = tuple([_clean(name) for _, name in lines])
    return Manifest(path, PackageType.DEB, package, paths, Checksum.MD5, digests, config)


def _clean(name: bytes) -> bytes:
    """As entries have it; dpkg writes names with and without a leading `./` or `/`."""
    return name[2:] if name[:2] == b"./" else name.lstrip(b"/")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _conffiles(path: bytes, data: bytes) -> Iterator[Manifest]:
    """One manifest per package that has some."""
    package = b""
    for name, listed in _CONFFILES.findall(data):
        if name:
            package = name
        else:
            lines = [(digest, file) for file, digest in _CONFFILE.findall(listed)]
            yield _md5(path, _text(package), lines, config=True)


def _apk(path: bytes, data: bytes) -> Iterator[Manifest]:
    package, folder = b"", b""
    paths: list[bytes] = []
    digests: list[bytes] = []

    def manifest() -> Manifest:
        found = tuple(paths), Checksum.SHA1, b"".join(digests)
        return Manifest(path, PackageType.APK, _text(package), *found)

    for kind, value in _APK_LINE.findall(data):
        if kind == b"P":
            if paths:
                yield manifest()
            package, folder = value, b""
            paths, digests = [], []
        elif kind == b"F":
            folder = value.strip(b"/")
        elif kind == b"R":
            paths.append(folder + b"/" + value if folder else value)
            digests.append(bytes(20))
        elif digests and value.startswith(b"Q1"):
            digests[-1] = _base64(value[2:], 20)
    if paths:
        yield manifest()


def _record(path: bytes, data: bytes) -> Iterator[Manifest]:
    folder, _, _ = path.rpartition(b"/")
    root, slash, name = folder.rpartition(b"/")
    root += slash
    below = (root, *_INSTALLED_BY_PIP.findall(root))
    paths: list[bytes] = []
    digests: list[bytes] = []
    for quoted, plain, stated in _RECORD_LINE.findall(data):
        file = quoted.replace(b'""', b'"') or plain
        owned = root + file
        if file.startswith((b"/", b".")) or b"/." in file or b"//" in file:
            owned = normpath(file if file.startswith(b"/") else b"/" + owned).lstrip(b"/")
        if not owned.startswith(below):
            continue  # an installer writes below its prefix; this would claim others' files
        paths.append(owned)
        digests.append(_base64(stated + b"=", 32) if stated else bytes(32))
    package = _text(name.removesuffix(b".dist-info").partition(b"-")[0])
    found = tuple(paths), Checksum.SHA256, b"".join(digests)
    yield Manifest(path, PackageType.PYPI, package, *found)


def _base64(text: bytes, size: int) -> bytes:
    """Plain or URL-safe; zeros for what is neither, or of another size."""
    try:
        found = b64decode(text, altchars=b"-_" if b"-" in text or b"_" in text else None)
    except (binascii.Error, ValueError):
        return bytes(size)
    return found if len(found) == size else bytes(size)


class ManifestsAnalyser:
    """`manifests` only."""

    id = "manifests"
    version = 1
    interest = Interest(
        paths=frozenset((_STATUS, *_APK)),
        names=frozenset((b"RECORD",)),
        suffixes=(b".list", b".md5sums"),
        checked=(b"bin/", b"boot/", b"etc/", b"lib", b"opt/", b"sbin/", b"usr/", b"var/lib/"),
        accepts=accepts,
    )

    def start(self) -> Collector:
        """A fresh collector."""
        return _Collector()
