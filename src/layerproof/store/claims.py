"""The right to read a layer, between processes on one machine.

One byte of a lock file beside the index stands for each layer; the kernel frees it when its holder
ends, however it ends. Two layers on one byte would only wait for each other, never fail.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layerproof.errors import IndexUnavailableError
from layerproof.model.digest import DiffId

_DIGITS = 15  # hex digits of the digest that make the byte's offset: below 2**60


def claim_file(index: Path) -> Path:
    """Where the claims of an index lie."""
    return index.with_name(index.name + "-reading")


@contextmanager
def claim(index: Path, diff_id: DiffId) -> Iterator[None]:
    """Hold the layer's byte until the block ends; wait while another process has it.

    A process may hold one claim at a time: closing the file gives up every lock that it has on it
    (POSIX fcntl). Raises IndexUnavailableError when the file cannot be made.
    """
    file = claim_file(index)
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise IndexUnavailableError(
            f"cannot be opened: {error.strerror}",
            where=str(file),
            remedy="make the index's folder writable, or name another with --index",
        ) from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, int(diff_id.hex[:_DIGITS], 16))
        yield
    finally:
        os.close(descriptor)
