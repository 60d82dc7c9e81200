"""Digests of a tar and of the files in it, while it passes.

1. The tar as a whole has a sha256: its DiffID.
2. Every regular file has one of its own.
3. Files that a package manager may own have an MD5 (dpkg) and a SHA-1 (apk), too. These are
   compared with what package databases state; nothing rests on their strength.

The walker says where file data lies (`Spans`) and a `TarDigests` does the work. `PlainDigests`
takes one digest after the other; `layerproof.native` computes all of them in one pass.
"""

from collections.abc import Callable
from hashlib import md5, sha1, sha256
from typing import Any, Protocol

# Flags of a span
BEGIN = 1  # a file begins here
END = 2  # and ends here
CHECK = 4  # with MD5 and SHA-1

CHECK_BYTES = 36  # MD5 (16), SHA-1 (20)

# (start, stop, flags) one after the other, in order, within the chunk that they come with
Spans = list[int]


class TarDigests(Protocol):
    """State for one tar. The columns grow by one digest per file that ended, in order."""

    @property
    def files(self) -> bytearray:
        """sha256 of every file."""

    @property
    def checks(self) -> bytearray:
        """MD5 and SHA-1 of every file that was spanned with CHECK."""

    def update(self, chunk: bytes, stop: int, spans: Spans) -> None:
        """`chunk[:stop]` are the next bytes of the tar. File data begins at multiples of 512 bytes
        of the tar."""

    def diff_id(self) -> str:
        """`sha256:…` over all bytes so far."""


MakeDigests = Callable[[], TarDigests]


class PlainDigests:
    """With the standard library alone."""

    __slots__ = ("_file", "_tar", "checks", "files")

    def __init__(self) -> None:
        self.files = bytearray()
        self.checks = bytearray()
        self._tar = sha256()
        self._file: tuple[Any, ...] = ()

    def update(self, chunk: bytes, stop: int, spans: Spans) -> None:
        """See `TarDigests`."""
        view = memoryview(chunk)
        self._tar.update(view[:stop])
        for at in range(0, len(spans), 3):
            start, end, flags = spans[at : at + 3]
            data = view[start:end]
            if flags == BEGIN | END:  # most files, at the least cost
                self.files += sha256(data).digest()
                continue
            if flags & BEGIN:
                self._file = (sha256(), *_checks(flags))
            for digest in self._file:
                digest.update(data)
            if flags & END:
                self.files += self._file[0].digest()
                for digest in self._file[1:]:
                    self.checks += digest.digest()

    def diff_id(self) -> str:
        """See `TarDigests`."""
        return "sha256:" + self._tar.hexdigest()


def _checks(flags: int) -> tuple[Any, ...]:
    if not flags & CHECK:
        return ()
    return md5(usedforsecurity=False), sha1(usedforsecurity=False)
