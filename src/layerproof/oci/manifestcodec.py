"""Manifests of a layer as one compact blob, and back.

Layout (little endian): zstd of a JSON head with one row per manifest [path, type, package, number
of paths, checksum, config], its length first (uint32); then all paths joined by NUL; then, not
compressed, the digests. Our own format for our own data (see `entrycodec`).
"""

import struct
from collections.abc import Sequence

from layerproof.errors import IndexUnavailableError
from layerproof.model.ownership import CHECKSUM_BYTES, Checksum, Manifest
from layerproof.model.package import PackageType

_LENGTH = struct.Struct("<I")
_DAMAGE = (ValueError, TypeError, LookupError, struct.error)


def encode(manifests: Sequence[Manifest]) -> bytes:
    """The blob; b"" for none. A path that holds a NUL is left out with its digest: no file has
    such a name."""
    if not manifests:
        return b""
    import json

    from layerproof.oci.zstd import pack

    manifests = [_without_nul(manifest) for manifest in manifests]
    head = json.dumps(
        [
            [m.path.decode("latin-1"), m.type, m.package, len(m.paths), m.checksum, m.config]
            for m in manifests
        ]
    ).encode()
    paths = b"\x00".join([path for manifest in manifests for path in manifest.paths])
    packed = pack(_LENGTH.pack(len(head)) + head + paths)
    digests = b"".join([manifest.digests for manifest in manifests])
    return _LENGTH.pack(len(packed)) + packed + digests


def decode(blob: bytes) -> list[Manifest]:
    """The manifests. Raises IndexUnavailableError for a blob that `encode` did not write."""
    if not blob:
        return []
    import json

    from layerproof.oci.zstd import ZstdError, unpack

    try:
        (length,) = _LENGTH.unpack_from(blob, 0)
        data = unpack(blob[4 : 4 + length])
        (head,) = _LENGTH.unpack_from(data, 0)
        rows = json.loads(data[4 : 4 + head])
        paths = data[4 + head :].split(b"\x00")
        found, at, digest = [], 0, 4 + length
        for path, kind, package, count, checksum, config in rows:
            size = count * CHECKSUM_BYTES[Checksum(checksum)]
            found.append(
                Manifest(
                    path.encode("latin-1"),
                    PackageType(kind),
                    package,
                    tuple(paths[at : at + count]),
                    Checksum(checksum),
                    blob[digest : digest + size],
                    config,
                )
            )
            at += count
            digest += size
        if digest != len(blob) or at != (len(paths) if paths != [b""] else at):
            raise ValueError("columns of different length")
    except (ZstdError, *_DAMAGE) as error:
        raise IndexUnavailableError(
            f"the package manifests of a layer do not decode: {error}",
            remedy="the index is damaged: restore it, or delete it and index again",
        ) from error
    return found


def _without_nul(manifest: Manifest) -> Manifest:
    if not any(b"\x00" in path for path in manifest.paths):
        return manifest
    size = CHECKSUM_BYTES[manifest.checksum]
    kept = [n for n, path in enumerate(manifest.paths) if b"\x00" not in path]
    return Manifest(
        manifest.path,
        manifest.type,
        manifest.package,
        tuple(manifest.paths[n] for n in kept),
        manifest.checksum,
        b"".join(manifest.digests[size * n : size * n + size] for n in kept),
        manifest.config,
    )
