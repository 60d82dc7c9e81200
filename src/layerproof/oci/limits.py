"""Caps on what untrusted bytes may cost (DESIGN.md "Bad input"); each has its own clear error."""

from dataclasses import dataclass

MiB = 1 << 20
GiB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """One value per cap; `LimitExceededError.limit` names the field. Sizes in bytes."""

    blob_bytes: int = 32 * GiB  # compressed bytes of one blob
    layer_bytes: int = 64 * GiB  # decompressed bytes of one layer
    ratio: int = 400  # decompressed / compressed, once `ratio_floor` bytes came out
    ratio_floor: int = 256 * MiB
    entries: int = 4_000_000  # tar entries in one layer
    path_bytes: int = 16_384  # one path or link target
    header_bytes: int = 1 * MiB  # one pax header or GNU long name (as Go's archive/tar)
    names_bytes: int = 512 * MiB  # long paths, link targets and attributes of one layer together
    sparse_bytes: int = 8 * GiB  # the sparse files of one layer with their holes filled
    xattr_bytes: int = 256 * 1024  # extended attributes of one entry
    zstd_window: int = 128 * MiB  # as RFC 8878 section 3.1.1.1.2 lets decoders refuse more
    json_bytes: int = 8 * MiB  # one manifest, index or config
    json_depth: int = 64
    layers: int = 1024  # layers of one image
    implied_bytes: int = 64 * MiB  # folders that no entry names but paths imply, in one image
    index_manifests: int = 1024  # manifests in one image index
    archive_members: int = 65_536  # files and folders in an archive of images
    capture_bytes: int = 64 * MiB  # one file kept for an analyser; a larger one is reported
    layer_seconds: int = 3600  # wall time for reading one layer
    quarantine_bytes: int = 64 * GiB  # all blobs of the quarantine together
