"""Which files packages own, with what contents, and which scripts they bring."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from layerproof.model.change import ChangeKind
from layerproof.model.package import PackageType


class Checksum(StrEnum):
    """What a package database states of a file's contents."""

    NONE = ""
    MD5 = "md5"  # dpkg
    SHA1 = "sha1"  # apk; of a symbolic link, over its target
    SHA256 = "sha256"  # Python RECORD


CHECKSUM_BYTES: Mapping[Checksum, int] = {
    Checksum.NONE: 0,
    Checksum.MD5: 16,
    Checksum.SHA1: 20,
    Checksum.SHA256: 32,
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one file of a package database says about one package's files, as columns."""

    path: bytes  # the file that states it
    type: PackageType
    package: str  # as the database names it: `libc6:amd64`, `musl`, `requests`
    paths: tuple[bytes, ...] = ()  # as the database has them; folders too where it lists them
    checksum: Checksum = Checksum.NONE
    digests: bytes = b""  # raw, one after the other; all zero where none is stated
    config: bool = False  # files that people are expected to edit

    def digest(self, index: int) -> bytes:
        """Of the path at `index`; b"" if none is stated."""
        size = CHECKSUM_BYTES[self.checksum]
        found = self.digests[size * index : size * index + size]
        return found if any(found) else b""


@dataclass(frozen=True, slots=True)
class PackageScript:
    """A script that a package manager or an interpreter runs by itself."""

    package: str  # as the database names it
    kind: str  # "preinst", "postinst" …; "pre-install" … (apk); "npm:postinstall"; "pth"
    path: bytes  # the file that holds it
    sha256: bytes  # raw, of the script's text


class Alteration(StrEnum):
    """How a file differs from what its package says. Stable words."""

    CONTENTS = "contents"  # another checksum than the package's own
    KIND = "kind"  # no regular file any more


@dataclass(frozen=True, slots=True)
class AlteredFile:
    """A file that differs from what its package says, since this layer."""

    path: bytes  # where it really is
    package: str
    manifest: bytes  # the file that states the checksum
    how: Alteration
    expected: str  # "md5:…", "sha1:…" or "sha256:…"
    found: str  # of the same algorithm; "" for no regular file
    config: bool = False


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """An executable that the layer brings and that no package of the layers so far owns."""

    path: bytes
    kind: str  # "elf", "script", "executable" …
    mode: int
    sha256: bytes  # raw


@dataclass(frozen=True, slots=True)
class Integrity:
    """What a layer at its place does to files that packages own. Sorted by path and bounded; what
    was left out is counted."""

    altered: tuple[AlteredFile, ...] = ()
    altered_more: int = 0
    foreign: tuple[ForeignFile, ...] = ()
    foreign_more: int = 0
    # changes that belong to a package upgrade, and leave what the upgraded package says: path, kind
    # of change, package
    verified: tuple[tuple[bytes, ChangeKind, str], ...] = ()
    # owned paths that this layer brings and whose package states no checksum that could be compared
    unverifiable: int = 0


NO_INTEGRITY = Integrity()
