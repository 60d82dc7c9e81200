"""The data of one regular file that arrives in pieces, or that is sparse: maybe kept.

The stored bytes are hashed by `oci.digests`; only a sparse file, whose holes are not stored, is
hashed here.
"""

from hashlib import sha256

from layerproof.oci.tarsparse import SparseFile, SparseMap

HEAD_BYTES = 512


class FileData:
    """Takes the stored bytes; afterwards `head` and, if asked for, `whole` are there."""

    __slots__ = ("_kept", "_sparse", "flags", "head", "index", "left", "offset", "path", "size",
                 "sparse_digest", "stored", "who")  # fmt: skip

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

    @property
    def whole(self) -> bytes:
        """The contents, if anybody wanted them."""
        return bytes(self._kept)

    def _take(self, piece: bytes | memoryview) -> None:
        if self.sparse_digest is not None:
            self.sparse_digest.update(piece)
        if len(self.head) < HEAD_BYTES:
            self.head += piece[: HEAD_BYTES - len(self.head)]
        if self.who:
            self._kept += piece
