"""Blob bytes → the uncompressed layer, in bounded pieces, complete or refused.

The format is told by the first bytes, not by the media type: that is what runtimes do.

- gzip (RFC 1952): concatenated members, zero padding behind the last one. A decompressor that
  merely runs dry is a truncated blob, not its end.
- zstd (RFC 8878): several frames, skippable frames (zstd:chunked has them), a bounded window.
- bzip2 and xz, which OCI does not know, are refused by name.
- anything else is taken as the tar itself.

Raises CompressionError for damaged or cut data, LimitExceededError for bombs.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, cast

from layerproof.errors import CompressionError, LayerproofError, LimitExceededError
from layerproof.oci.limits import Limits

PIECE = 1 << 19  # bytes per output piece; large enough that Python's cost per piece vanishes
_PORTION = 1 << 17  # bytes of compressed input for one call of a decoder

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_REFUSED = {b"BZh": b"1AY&SY", b"\xfd7zXZ\x00": b""}  # start → what comes one byte behind it

# A decoder gets at least so much at its start: igzip loses the checksum of a gzip header (FHCRC)
# whose bytes come in two pieces.
_HEAD = 1024


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def compression(head: bytes) -> str:
    """`gzip`, `zstd` or `none`, by the first four bytes of a blob."""
    if head[:2] == _GZIP:
        return "gzip"
    if head[:4] == _ZSTD or _skippable(head):
        return "zstd"
    return "none"


def decompress(chunks: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """The uncompressed bytes, in pieces of at most PIECE bytes (of the chunk size, for `none`)."""
    source = iter(chunks)
    head = b"".join(_at_least(_HEAD, b"", source))
    form = compression(head)
    if form == "none":
        _refuse_known(head)
        return _bounded(_chained(head, source), limits)
    return _members(form, _portions(_chained(head, source)), limits)


def _at_least(size: int, data: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    """`data` and as many chunks as it takes to have `size` bytes, if there are so many."""
    have = len(data)
    yield data
    while have < size and (more := next(source, None)) is not None:
        have += len(more)
        yield more


def _refuse_known(head: bytes) -> None:
    for start, rest in _REFUSED.items():
        if head.startswith(start) and head.startswith(rest, len(start) + 1):
            raise CompressionError(
                "compressed with bzip2 or xz, which no OCI layer may be",
                remedy="compress the layer with gzip or zstd",
            )


def _portions(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Small inputs: decoders copy what they have not used yet, after every call."""
    for chunk in chunks:
        for start in range(0, len(chunk), _PORTION):
            yield chunk[start : start + _PORTION]


def _chained(head: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from source


def _bounded(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limits.layer_bytes:
            raise _too_large(limits)
        yield chunk


def _members(form: str, source: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    data = b"".join(_at_least(_HEAD, b"", source))
    consumed = len(data)
    produced = 0
    decoder = _new(form, limits)
    errors = _decode_errors(form)
    while True:
        try:
            piece = decoder.decompress(data, PIECE)
        except errors as error:
            raise _damaged(form, consumed, error, limits) from error
        data = b""
        if piece:
            produced += len(piece)
            if produced > limits.layer_bytes:
                raise _too_large(limits)
            if produced > limits.ratio_floor and produced > limits.ratio * consumed:
                raise LimitExceededError(
                    f"{consumed} compressed bytes gave more than {limits.ratio} times as many",
                    limit="ratio",
                )
            yield piece
        if decoder.eof:
            rest = decoder.unused_data
            data = b"".join(_at_least(_HEAD, rest, source))
            consumed += len(data) - len(rest)
            if not data:
                return
            if compression(data) != form:
                _only_zeros(form, data, source)
                return
            decoder = _new(form, limits)
        elif decoder.needs_input:
            more = next(source, None)
            if more is None:
                raise CompressionError(
                    f"truncated {form} data: it ends after {consumed} compressed bytes,"
                    " before its own end marker",
                    remedy="fetch or push the image again; if it stays, the blob itself is cut",
                )
            consumed += len(more)
            data = more


def _new(form: str, limits: Limits) -> _Decoder:
    # Imported here: most commands never decompress anything.
    if form == "gzip":
        from isal import igzip_lib

        gzip: _Decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        return gzip
    from layerproof.oci import zstd

    return zstd.decompressor(limits.zstd_window)


def _decode_errors(form: str) -> tuple[type[Exception], ...]:
    """What the decoder raises for bad data."""
    if form == "gzip":
        from isal import igzip_lib

        # its stub calls the class an instance
        return (cast("type[Exception]", igzip_lib.IsalError),)
    from layerproof.oci import zstd

    return (zstd.ZstdError,)


def _damaged(form: str, consumed: int, error: Exception, limits: Limits) -> LayerproofError:
    if "too much memory" in str(error):  # libzstd's words for a window above the bound
        return LimitExceededError(
            f"zstd frame with a window of more than {limits.zstd_window} bytes",
            limit="zstd_window",
        )
    return CompressionError(
        f"damaged {form} data near compressed byte {consumed}: {error}",
        remedy="fetch or push the image again; if it stays, the blob itself is damaged",
    )


def _only_zeros(form: str, data: bytes, source: Iterator[bytes]) -> None:
    while True:
        if data.strip(b"\x00"):
            raise CompressionError(
                f"data behind the end of the {form} stream",
                remedy="no runtime reads it; build the image again",
            )
        more = next(source, None)
        if more is None:
            return
        data = more


def _skippable(head: bytes) -> bool:
    return head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50  # RFC 8878 section 3.1.2


def _too_large(limits: Limits) -> LimitExceededError:
    return LimitExceededError(
        f"more than {limits.layer_bytes} bytes in one layer", limit="layer_bytes"
    )
