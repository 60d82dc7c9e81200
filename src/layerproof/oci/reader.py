"""One layer, read to its end: verified, hashed, walked. Reading to the end *is* the check.

1. Every byte of the blob goes through the blob digest, whose size and value must match.
2. It is decompressed in bounded pieces.
3. The walker sees each piece once, and takes the digests of the tar (its DiffID) and of the files.
   Nothing is written anywhere, memory stays flat.

With `threads`, steps 1 and 2 run in a thread beside step 3: hashing and decompression release the
interpreter lock. That pays when there are fewer layers than processors.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Semaphore, Thread

from layerproof.errors import DigestMismatchError, LayerproofError, LimitExceededError
from layerproof.model.digest import DiffId, Digest
from layerproof.model.image import Descriptor
from layerproof.oci.decompress import decompress
from layerproof.oci.limits import Limits
from layerproof.oci.tar import TarWalker

_AHEAD = 4  # pieces decompressed but not yet walked


@dataclass(frozen=True, slots=True)
class Stream:
    """What a blob turned out to be."""

    diff_id: DiffId
    blob_digest: Digest
    blob_size: int  # bytes as stored
    size: int  # bytes of the uncompressed tar


class BlobReader:
    """Steps 1 and 2: iterate over it for the uncompressed pieces; then ask for the `stream`."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        limits: Limits,
        *,
        expected: Descriptor | None = None,
        where: str = "",
        progress: Callable[[int], None] | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self._chunks = chunks
        self._limits = limits
        self._expected = expected
        self._where = where
        self._progress = progress
        self._monotonic = monotonic
        self._blob_size = 0
        self._size = 0
        self._hash = hashlib.new(expected.digest.algorithm if expected else "sha256")
        self._blob: Digest | None = None  # once all of it was read and verified

    def __iter__(self) -> Iterator[bytes]:
        for piece in decompress(self._verified(), self._limits):
            self._size += len(piece)
            yield piece
        algorithm = self._expected.digest.algorithm if self._expected else "sha256"
        blob = Digest(f"{algorithm}:{self._hash.hexdigest()}")
        self._check(blob)
        self._blob = blob

    def stream(self, diff_id: str) -> Stream:
        """What the blob turned out to be, after its last piece; `diff_id` is over all pieces."""
        assert self._blob is not None
        return Stream(DiffId(diff_id), self._blob, self._blob_size, self._size)

    def _verified(self) -> Iterator[bytes]:
        most = self._limits.blob_bytes
        if self._expected is not None:
            most = min(most, self._expected.size)
        deadline = self._monotonic() + self._limits.layer_seconds if self._monotonic else 0.0
        for chunk in self._chunks:
            self._blob_size += len(chunk)
            if self._blob_size > most:
                raise self._too_long(most)
            if self._monotonic and self._monotonic() > deadline:
                raise LimitExceededError(
                    f"reading took longer than {self._limits.layer_seconds} s",
                    limit="layer_seconds",
                    where=self._where,
                )
            self._hash.update(chunk)
            if self._progress:
                self._progress(self._blob_size)
            yield chunk

    def _too_long(self, most: int) -> LayerproofError:
        if self._expected is not None and most == self._expected.size:
            return DigestMismatchError(
                f"the blob is longer than the {most} bytes that its manifest states",
                where=self._where,
                remedy="the source serves other bytes than the manifest names: do not use it",
            )
        return LimitExceededError(
            f"blob of more than {most} bytes", limit="blob_bytes", where=self._where
        )

    def _check(self, blob: Digest) -> None:
        expected = self._expected
        if expected is None:
            return
        if self._blob_size != expected.size:
            raise DigestMismatchError(
                f"the blob has {self._blob_size} bytes, its manifest states {expected.size}",
                where=self._where,
                remedy="the transfer was cut, or the source serves other bytes; try again",
            )
        if blob != expected.digest:
            raise DigestMismatchError(
                f"the blob's digest is {blob}, its manifest states {expected.digest}",
                where=self._where,
                remedy="the source serves other bytes than the manifest names: do not use it",
            )


def read_layer(blob: BlobReader, walker: TarWalker, *, threads: bool = False) -> Stream:
    """Read a layer through its walker.

    Raises CorruptImageError, LimitExceededError, and what the source raises.
    """
    feed = walker.feed
    if threads:
        with closing(_ahead(blob)) as pieces:  # ends the thread, whatever the walker raises
            for piece in pieces:
                feed(piece)
    else:
        for piece in blob:
            feed(piece)
    walker.close()
    return blob.stream(walker.diff_id())


def verify_blob(blob: BlobReader) -> Stream:
    """Only the digests: for contents that are known, in a blob that is not."""
    tar = hashlib.sha256()
    for piece in blob:
        tar.update(piece)
    return blob.stream("sha256:" + tar.hexdigest())


def _ahead(pieces: Iterable[bytes]) -> Generator[bytes, None, None]:
    """`pieces`, produced by a thread that runs up to _AHEAD of them ahead of the consumer."""
    queue: SimpleQueue[bytes | BaseException | None] = SimpleQueue()
    room = Semaphore(_AHEAD)
    stopped = False

    def produce() -> None:
        try:
            for piece in pieces:
                room.acquire()
                if stopped:
                    return
                queue.put(piece)
            queue.put(None)
        except BaseException as error:  # noqa: BLE001  because it is raised again by the consumer
            queue.put(error)

    thread = Thread(target=produce, name="layerproof-decompress", daemon=True)
    thread.start()
    try:
        while True:
            item = queue.get()
            room.release()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped = True
        room.release()
        thread.join()
