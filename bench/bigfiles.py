"""Images of one layer with a few big files: does memory stay flat as layers grow?

The bytes are a pseudo-random text that compresses to about a half, in 32 files of equal size.
"""

import hashlib
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

from isal import isal_zlib

from images import Layer, Step, write_layout

FILES = 32
BLOCK = 1 << 20


def tar_chunks(size: int) -> Iterator[bytes]:
    """A layer tar with about `size` bytes in files."""
    block = random.Random(size).randbytes(BLOCK // 2).hex().encode()
    each = size // FILES // BLOCK * BLOCK
    for number in range(FILES):
        entry = tarfile.TarInfo(f"opt/data/file-{number:02}.bin")
        entry.size = each
        yield entry.tobuf(tarfile.USTAR_FORMAT)
        for offset in range(0, each, BLOCK):
            turn = number + offset // BLOCK  # no two files alike
            yield block[turn:] + block[:turn]
    yield bytes(2 * tarfile.BLOCKSIZE)


def write_image(folder: Path, size: int) -> None:
    """An OCI layout with the tag `latest` and that one layer."""
    folder.mkdir(parents=True)
    blob, diff_id, tar_size = hashlib.sha256(), hashlib.sha256(), 0
    layer = folder.with_suffix(".tar.gz")
    packer = isal_zlib.compressobj(level=1, wbits=31)
    with layer.open("wb") as out:
        for chunk in tar_chunks(size):
            diff_id.update(chunk)
            tar_size += len(chunk)
            packed = packer.compress(chunk)
            blob.update(packed)
            out.write(packed)
        packed = packer.flush()
        blob.update(packed)
        out.write(packed)
    made = Layer(
        step=Step("app", (f"{size} bytes",)),
        file=layer,
        digest=f"sha256:{blob.hexdigest()}",
        size=layer.stat().st_size,
        diff_id=f"sha256:{diff_id.hexdigest()}",
        tar_size=tar_size,
        entries=FILES,
        files=FILES,
        file_bytes=tar_size,
    )
    write_layout(folder, [made])
    layer.unlink()
