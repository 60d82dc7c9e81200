"""What a layer does to files that packages own, which executables nobody owns, and install scripts.

Made once per chain while an image is indexed (`layerproof.analysis.integrity`).
"""

from dataclasses import dataclass
from enum import StrEnum


class Alteration(StrEnum):
    """How a file differs from what its package says. Stable words."""

    CONTENTS = "contents"  # another checksum than the package's own
    MISSING = "missing"  # deleted, though its package is installed
    KIND = "kind"  # no regular file any more


@dataclass(frozen=True, slots=True)
class AlteredFile:
    """A file that a package of the finished layer owns, and that differs from its checksum."""

    path: bytes
    package: str  # purl
    manifest: bytes  # the file that states the checksum
    how: Alteration
    expected: str  # "md5:…", "sha1:…" or "sha256:…"
    found: str  # of the same algorithm where it is known, else "sha256:…"; "" when missing
    config: bool = False  # a conffile, or another file that packages expect to be edited


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """An executable that the layer brings and no package of the finished layer owns."""

    path: bytes
    kind: str  # "elf", "script" or "executable"
    sha256: bytes  # raw
    size: int
    mode: int
    interpreter: str = ""  # of a script


@dataclass(frozen=True, slots=True)
class PackageScript:
    """A script that a package manager runs. `package` is a purl."""

    package: str
    kind: (
        str  # "preinst", "postinst", "prerm", "postrm", "config", "triggers", "pth", "npm:install"
    )
    path: bytes
    sha256: bytes  # raw, of the script's text


@dataclass(frozen=True, slots=True)
class Integrity:
    """All of it for one layer at its place. Tuples are sorted by path and bounded; what was left
    out is counted."""

    altered: tuple[AlteredFile, ...] = ()
    foreign: tuple[ForeignFile, ...] = ()
    # paths that this layer changed as part of a package change, and that hold what the changed
    # package says: by path, the package's purl
    verified: tuple[tuple[bytes, str], ...] = ()
    unverifiable: int = 0  # owned files that changed and whose package states no usable checksum
    altered_more: int = 0
    foreign_more: int = 0
