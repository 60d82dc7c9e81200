"""Blobs on disk, by digest: written while they pass, kept when they were verified.

What is there was verified when it was written. The oldest unused ones make room; a disk that is
full, or a folder that is gone, costs the cache and nothing else.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from layerproof.model.digest import Digest

_PARTIAL = ".part-"


class BlobCache:
    """A folder of at most so many bytes. Methods block for as long as a disk does."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes
        self._held: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for item in sorted(folder.iterdir(), key=lambda found: found.stat().st_mtime):
            if item.name.startswith(_PARTIAL):
                item.unlink(missing_ok=True)  # of a process that ended in between
            else:
                self._held[item.name] = item.stat().st_size

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return sum(self._held.values())

    def holds(self, digest: Digest) -> bool:
        """Whether it should be there."""
        return _name(digest) in self._held

    def open(self, digest: Digest) -> BinaryIO | None:
        """The blob; None if it is not there."""
        name = _name(digest)
        if name not in self._held:
            return None
        file = self._folder / name
        try:
            found = file.open("rb")
            os.utime(file)
        except OSError:
            self._held.pop(name, None)
            return None
        self._held[name] = self._held.pop(name)  # the last one used
        return found

    def drop(self, digest: Digest) -> None:
        """What is not what it was."""
        self._held.pop(_name(digest), None)
        with suppress(OSError):
            (self._folder / _name(digest)).unlink(missing_ok=True)

    def begin(self, digest: Digest, size: int) -> "Entry | None":
        """To write it; None where it has no place."""
        if size > self._most // 2:
            return None
        try:
            handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=self._folder)
        except OSError:
            return None
        return Entry(self, os.fdopen(handle, "wb"), Path(name), digest)

    def keep(self, written: Path, digest: Digest, size: int) -> None:
        """A verified blob takes its place."""
        os.replace(written, self._folder / _name(digest))
        self._held[_name(digest)] = size
        while self.size > self._most:
            oldest = next(iter(self._held))
            del self._held[oldest]
            (self._folder / oldest).unlink(missing_ok=True)


class Entry:
    """A blob that is being written."""

    def __init__(self, cache: BlobCache, out: BinaryIO, file: Path, digest: Digest) -> None:
        self._cache = cache
        self._out = out
        self._file = file
        self._digest = digest
        self._size = 0
        self._sound = True

    def write(self, part: bytes) -> None:
        """The next bytes; a disk that takes no more is told nobody."""
        if not self._sound:
            return
        try:
            self._out.write(part)
            self._size += len(part)
        except OSError:
            self._sound = False

    def end(self, *, whole: bool) -> None:
        """Keep it if it was verified to its end."""
        try:
            self._out.close()
            if whole and self._sound:
                self._cache.keep(self._file, self._digest, self._size)
                return
        except OSError:
            pass
        with suppress(OSError):
            self._file.unlink(missing_ok=True)


def _name(digest: Digest) -> str:
    return digest.replace(":", "-")
