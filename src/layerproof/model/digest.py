"""Digests as strong types: what has been parsed needs no second check.

Source: OCI image-spec, descriptor.md "Digests"; config.md "Layer DiffID" and "Layer ChainID".
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Self

from layerproof.errors import ManifestError

_FORMS = {"sha256": re.compile(r"[a-f0-9]{64}"), "sha512": re.compile(r"[a-f0-9]{128}")}


class Digest(str):
    """`algorithm:hex` of some bytes: sha256 or sha512, lower case. Compares as a string."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object, *, where: str = "") -> Self:
        """Check and wrap. Raises ManifestError for anything but a registered digest."""
        if isinstance(text, str):
            algorithm, _, encoded = text.partition(":")
            form = _FORMS.get(algorithm)
            if form is not None and form.fullmatch(encoded):
                return cls(text)
        raise ManifestError(
            f"not a digest: {str(text)[:100]!r}",
            where=where,
            remedy="a digest is sha256: and 64 lower-case hex digits, or sha512: and 128",
        )

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The sha256 digest of `data`."""
        return cls("sha256:" + sha256(data).hexdigest())

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """From the 32 raw bytes of a sha256."""
        return cls("sha256:" + raw.hex())

    @property
    def algorithm(self) -> str:
        """`sha256` or `sha512`."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The part after the colon."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """Twelve hex digits, for tables."""
        return self.hex[:12]


class DiffId(Digest):
    """Digest of an uncompressed layer tar: the identity of a layer's contents."""

    __slots__ = ()


class ChainId(Digest):
    """Identity of a layer: the signature over its contents and all layers below."""

    __slots__ = ()


def chain_ids(diff_ids: Iterable[DiffId]) -> Iterator[ChainId]:
    """ChainIDs from the lowest layer up.

    ChainID(L0) = DiffID(L0); ChainID(L0|…|Ln) = sha256(ChainID(L0|…|Ln-1) + " " + DiffID(Ln)).
    """
    chain: ChainId | None = None
    for diff_id in diff_ids:
        chain = ChainId(diff_id) if chain is None else ChainId.of(f"{chain} {diff_id}".encode())
        yield chain
