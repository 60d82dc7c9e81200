"""A blob's bytes, verified while they pass.

1. All of it is read and hashed, whatever part was asked for.
2. The last piece is held back until length and digest are right: whoever gets a whole answer got
   the right bytes, and whoever gets a cut one knows it.
"""

import hashlib
from collections.abc import AsyncIterator

from layerproof.errors import DigestMismatchError
from layerproof.gates.registry.requests import Span
from layerproof.model.digest import Digest


async def verified(
    parts: AsyncIterator[bytes], digest: Digest, span: Span | None = None
) -> AsyncIterator[bytes]:
    """The bytes of the span, by default all. Raises DigestMismatchError, and what `parts` does."""
    found = hashlib.new(digest.algorithm)
    position, held = 0, b""
    async for part in parts:
        found.update(part)
        piece = part if span is None else _within(part, position, span)
        position += len(part)
        if piece:
            if held:
                yield held
            held = piece
    if found.hexdigest() != digest.hex:
        raise DigestMismatchError(
            f"the registry delivered {digest.algorithm}:{found.hexdigest()} for {digest}",
            where=str(digest),
            remedy="do not use this image; check the registry, and any proxy before it",
        )
    if held:
        yield held


def _within(part: bytes, position: int, span: Span) -> bytes:
    first = max(span.first - position, 0)
    return part[first : max(span.last + 1 - position, 0)]
