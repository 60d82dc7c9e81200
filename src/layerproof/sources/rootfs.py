"""`rootfs:FILE`: a plain root-file-system tar (bare, gzip, zstd) as an image of one layer.

Such a tar has no config, so one is made of its DiffID alone:

    {"architecture":"","config":{},"history":[{"created_by":"rootfs"}],"os":"linux",
     "rootfs":{"diff_ids":["sha256:…"],"type":"layers"}}

on one line, without spaces. The same contents have the same config digest, whatever the file is
called and however it is compressed. The platform that was asked for cannot be checked; the image
says so in its notes. For the DiffID the file is read once when it is resolved.
"""

import json
import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Protocol

from layerproof.errors import LayerproofError, UsageError
from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor, Image, Layer, Platform
from layerproof.model.reference import Reference
from layerproof.oci.decompress import compression, decompress
from layerproof.oci.limits import Limits
from layerproof.oci.manifest import OCI_LAYER, build_image
from layerproof.sources._files import chunks_at, open_file

_SUFFIXES = {"none": "", "gzip": "+gzip", "zstd": "+zstd"}


class RootfsSource:
    """One tar as one layer. Implements `engine.ports.ImageSource`."""

    random_access = True

    def __init__(self, reference: Reference, limits: Limits) -> None:
        self._file = reference.path
        self._where = str(reference)
        self._limits = limits
        self._layers: tuple[Layer, ...] = ()

    def resolve(self, platform: Platform | None) -> Image:
        """See `ImageSource.resolve`."""
        blob, diff_id = self._measure()
        image = build_image(
            reference=self._where,
            config_bytes=rootfs_config(diff_id),
            layers=[blob],
            where=self._where,
            limits=self._limits,
        )
        self._layers = image.layers
        # Its one note would be about the platform, which our own config cannot know.
        return replace(image, notes=())

    def layers(self, wanted: Collection[int]) -> Iterator[tuple[Layer | None, Iterator[bytes]]]:
        """See `ImageSource.layers`."""
        for position in sorted(set(wanted)):
            if position >= len(self._layers):
                raise UsageError(f"no layer {position} was resolved", where=self._where)
            descriptor, size = open_file(self._file, self._where)
            try:
                yield self._layers[position], chunks_at(descriptor, 0, size, self._where)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Nothing stays open."""

    def _measure(self) -> tuple[Descriptor, Digest]:
        """The file as a blob, and the DiffID of what is in it."""
        descriptor, size = open_file(self._file, self._where)
        try:
            blob_hash, diff_hash = sha256(), sha256()
            form = compression(os.pread(descriptor, 4, 0))
            chunks = chunks_at(descriptor, 0, size, self._where)
            if form == "none":
                diff_hash = blob_hash  # the same bytes: hashed once
                pieces = decompress(chunks, self._limits)
            else:
                pieces = decompress(_hashed(chunks, blob_hash), self._limits)
            for piece in pieces:
                diff_hash.update(piece)
        except LayerproofError as error:
            error.where = error.where or self._where  # the decompressor does not know the file
            raise
        finally:
            os.close(descriptor)
        digest = Digest.from_raw(blob_hash.digest())
        media_type = OCI_LAYER + _SUFFIXES[form]
        return Descriptor(media_type, digest, size), Digest.from_raw(diff_hash.digest())


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _hashed(chunks: Iterator[bytes], into: _Hash) -> Iterator[bytes]:
    for chunk in chunks:
        into.update(chunk)
        yield chunk


def rootfs_config(diff_id: Digest) -> bytes:
    """The config that stands for a bare tar."""
    config = {
        "architecture": "",
        "config": {},
        "history": [{"created_by": "rootfs"}],
        "os": "linux",
        "rootfs": {"diff_ids": [diff_id], "type": "layers"},
    }
    return json.dumps(config, separators=(",", ":"), sort_keys=True).encode()
