"""The machine's limit: what the work that nobody can leave out costs alone, stage by stage.

Blob hash, decompression and tar hash are timed chunk by chunk, each by itself, on the chunk sizes
that the reader uses; the file hashes on whole files, as one call each. No tar is parsed and nothing
is stored on the clock. The sum over two cores is the floor for a reader that verifies the blob and
the DiffID and hashes every file, on this machine, with these libraries.
"""

import gzip
import hashlib
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from isal import igzip_lib

CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds."""

    decompress: float
    blob_hash: float
    tar_hash: float
    file_hash: float

    @property
    def total(self) -> float:
        """All stages one after the other on one core."""
        return self.decompress + self.blob_hash + self.tar_hash + self.file_hash


def streaming_stages(layers: Sequence[Path]) -> tuple[float, float, float]:
    """Seconds for decompression, for the hash of the blobs and for the hash of the tars."""
    decompress = blob_hash = tar_hash = 0.0
    clock = time.perf_counter
    for layer in layers:
        blob, tar = hashlib.sha256(), hashlib.sha256()
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        with layer.open("rb", buffering=0) as source:
            while compressed := source.read(CHUNK):
                begin = clock()
                blob.update(compressed)
                hashed = clock()
                blob_hash += hashed - begin
                feed = compressed
                while not inflater.eof:
                    begin = clock()
                    plain = inflater.decompress(feed, CHUNK)
                    inflated = clock()
                    tar.update(plain)
                    tar_hash += clock() - inflated
                    decompress += inflated - begin
                    feed = b""
                    if inflater.needs_input:
                        break
    return decompress, blob_hash, tar_hash


def file_stage(layers: Sequence[Path]) -> float:
    """Seconds for the hash of every regular file."""
    seconds = 0.0
    clock = time.perf_counter
    for layer in layers:
        with gzip.open(layer) as raw, tarfile.open(fileobj=cast(IO[bytes], raw), mode="r|") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isreg() else None
                if content is None:
                    continue
                data = content.read()
                begin = clock()
                hashlib.sha256(data).digest()
                seconds += clock() - begin
    return seconds


def machine_limit(layers: Sequence[Path]) -> Stages:
    """Each stage over all layers of an image."""
    decompress, blob_hash, tar_hash = streaming_stages(layers)
    return Stages(decompress, blob_hash, tar_hash, file_stage(layers))
