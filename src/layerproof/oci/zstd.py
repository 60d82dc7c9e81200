"""zstd as in Python 3.14's standard library, from its backport before that.

The only binding that bounds the output of a call *and* tells a cut frame from a finished one.
"""

import sys

if sys.version_info >= (3, 14):  # pragma: no cover
    from compression.zstd import (
        DecompressionParameter,
        ZstdDecompressor,
        ZstdError,
        compress,
    )
    from compression.zstd import decompress as _decompress
else:
    from backports.zstd import (
        DecompressionParameter,
        ZstdDecompressor,
        ZstdError,
        compress,
    )
    from backports.zstd import decompress as _decompress

__all__ = ["ZstdDecompressor", "ZstdError", "decompressor", "pack", "unpack"]


def decompressor(window: int) -> ZstdDecompressor:
    """A streaming decompressor that refuses frames with a window above `window` bytes."""
    return ZstdDecompressor(
        options={DecompressionParameter.window_log_max: max(10, window.bit_length() - 1)}
    )


def pack(data: bytes, level: int = 3) -> bytes:
    """One frame."""
    return compress(data, level)


def unpack(data: bytes) -> bytes:
    """The opposite of `pack`, for our own data only: the output is not bounded."""
    return _decompress(data)
