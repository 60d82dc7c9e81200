"""What the index keeps of a layer's contents (per DiffID) and of its place in a chain."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from layerproof.model.change import ChangeKind
from layerproof.model.digest import ChainId, DiffId, Digest
from layerproof.model.ownership import NO_INTEGRITY, Integrity, PackageScript
from layerproof.model.package import Package, PackageChange


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that follows from a DiffID and the analyser versions alone. One index row.

    `entries` is the encoded entry table (`layerproof.oci.entrycodec`); `path_filter` and
    `file_filter` are sorted little-endian uint32 arrays, the crc32 of every path and the first
    four bytes of every file's sha256, so that searches need not decode entries without a hit.
    """

    diff_id: DiffId
    analysers: str  # "apk@1 dpkg@2 …", sorted: what the facts were made with
    size: int  # bytes of the uncompressed tar
    entry_count: int
    file_bytes: int  # sum of regular file sizes
    entries: bytes
    path_filter: bytes
    file_filter: bytes
    packages: tuple[Package, ...] = ()
    package_files: tuple[bytes, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)  # analyser id → plain JSON value
    skipped: tuple[tuple[str, bytes, str], ...] = ()  # analyser id, path, reason
    manifests: bytes = b""  # encoded (`layerproof.oci.manifestcodec`)
    scripts: tuple[PackageScript, ...] = ()


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """A compressed blob that was seen, whole and verified, to hold the contents of a DiffID."""

    digest: Digest
    diff_id: DiffId
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """Everything that follows from a ChainID: what the layer did to the tree below it."""

    chain_id: ChainId
    parent: ChainId | None
    position: int
    diff_id: DiffId
    analysers: str  # as in Contents: package changes depend on them
    counts: Mapping[ChangeKind, int]
    changes: bytes  # the encoded notable changes (`layerproof.oci.changecodec`)
    # sorted little-endian uint32: the crc32 of every path that a notable change names
    change_filter: bytes = b""
    package_changes: tuple[PackageChange, ...] = ()
    integrity: Integrity = NO_INTEGRITY
