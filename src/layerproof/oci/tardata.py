"""The data of one regular file that arrives in pieces, or that is sparse: maybe kept.

The stored bytes are hashed by `oci.digests`; only a sparse file, whose holes are not stored, is
hashed here.
"""

from hashlib import sha256

from layerproof.oci.elf import MAGIC, ElfParts
from layerproof.oci.tarsparse import SparseFile, SparseMap

HEAD_BYTES = 512


class FileData:
    """Takes the stored bytes; afterwards `head` and, if asked for, `whole` are there."""

    __slots__ = (
        "_elf",
        "_kept",
        "_sparse",
        "flags",
        "head",
        "index",
        "left",
        "offset",
        "path",
        "size",
        "sparse_digest",
        "stored",
        "who",
    )

    def __init__(
        self,
        *,
        index: int,
        path: bytes,
        offset: int,
        stored: int,
        size: int,
        sparse: SparseMap | None,
        who: tuple[int, ...],
        flags: int,
        sections: bool = False,
    ) -> None:
        self.index = index
        self.path = path
        self.offset = offset
        self.stored = self.left = stored
        self.size = size
        self.flags = flags  # of its spans
        self.who = who  # who gets the whole file; nothing is kept for nobody
        self.head = b""
        self._kept = bytearray()
        # whether it is a program that is looked at for its sections is known with its first bytes
        self._elf = ElfParts(size) if sections else None
        self.sparse_digest = sha256() if sparse else None
        self._sparse = SparseFile(sparse, stored, offset, self._take) if sparse else None

    def write(self, view: memoryview) -> int:
        """Take what is this file's from the start of `view`; how many bytes that was.

        Raises TarError for a sparse map that does not hold.
        """
        piece = view[: self.left]
        self.left -= len(piece)
        if self._sparse is not None:
            self._sparse.write(piece)
        else:
            self._take(piece)
        return len(piece)

    def close(self) -> None:
        """All bytes came. Raises TarError for a sparse map that does not hold."""
        if self._sparse is not None:
            self._sparse.close()

    def section(self, name: bytes) -> bytes | None:
        """A section of the program; None if it is none, or has none of this name."""
        return None if self._elf is None else self._elf.section(name)

    @property
    def whole(self) -> bytes:
        """The contents, if anybody wanted them."""
        return bytes(self._kept)

    def _take(self, piece: bytes | memoryview) -> None:
        if self.sparse_digest is not None:
            self.sparse_digest.update(piece)
        if self._elf is not None:
            if not self.head and bytes(piece[:4]) != MAGIC[: len(piece)]:
                self._elf = None
            else:
                self._elf.write(piece)
        if len(self.head) < HEAD_BYTES:
            self.head += piece[: HEAD_BYTES - len(self.head)]
        if self.who:
            self._kept += piece
