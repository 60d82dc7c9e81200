"""The seam of the analysers: a layer's stream goes in, facts come out.

1. The reader asks every analyser once for its `Interest` and builds look-up tables from them.
2. Per layer, `start()` gives a fresh `Collector`.
3. For each regular file that an interest names, `Collector.file` gets its path, entry index and
   bytes while the layer streams by; nothing else of the layer is kept in memory.
4. After the last entry, `finish` turns what was collected, and the entries, into `Facts`.

Collectors see hostile bytes: they never raise on bad content, they report it in `Facts.skipped`.
An analyser that changes what it finds raises its `version`; layers are then read again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from layerproof.model.entry import EntryTable
from layerproof.model.ownership import Manifest, PackageScript
from layerproof.model.package import Package

PROGRAM_BYTES = 256 << 10  # from here on programs are looked at for `Interest.section`
HEAD_BYTES = 512  # what a collector gets of a file that was matched by its first bytes


@dataclass(frozen=True, slots=True)
class Interest:
    """Which regular files an analyser wants to see. Paths are normalised (no leading slash)."""

    paths: frozenset[bytes] = frozenset()  # whole files, by full path
    names: frozenset[bytes] = frozenset()  # whole files, by last path component
    folders: frozenset[bytes] = frozenset()  # whole files directly inside one of these folders
    suffixes: tuple[bytes, ...] = ()  # whole files, by the end of their path
    sources: tuple[bytes, ...] = ()  # likewise, but only of folders that `searches` takes
    searches: Callable[[bytes], bool] | None = None
    magics: frozenset[bytes] = frozenset()  # first HEAD_BYTES of files by their first 2 bytes
    section: bytes = b""  # this section of ELF programs of `PROGRAM_BYTES` or more, as the file
    # beginnings of folders whose files need an MD5 and a SHA-1, because package databases state
    # these
    checked: tuple[bytes, ...] = ()
    # a last look at the whole path of a file that one of the first four named; None: take all
    accepts: Callable[[bytes], bool] | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that an analyser wanted and could not use."""

    analyser: str
    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What one analyser says about one layer. `data` holds plain JSON values only."""

    packages: tuple[Package, ...] = ()
    # every package database or metadata file seen, also one that lists nothing: an emptied
    # database removes the packages that a lower layer's listed
    package_files: tuple[bytes, ...] = ()
    data: Mapping[str, object] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    scripts: tuple[PackageScript, ...] = ()


class Collector(Protocol):
    """State of one analyser for one layer."""

    def file(self, path: bytes, index: int, data: bytes) -> None:
        """A file of interest: the whole contents, or its head if matched by first bytes only."""

    def finish(self, entries: EntryTable) -> Facts:
        """All entries were read."""


class Analyser(Protocol):
    """One file per analyser; listed in `layerproof.analysis.registry`."""

    @property
    def id(self) -> str:
        """Stable kebab-case name."""

    @property
    def version(self) -> int:
        """Raised when the facts that it yields change."""

    @property
    def interest(self) -> Interest:
        """Which files it wants."""

    def start(self) -> Collector:
        """A fresh collector for one layer."""
