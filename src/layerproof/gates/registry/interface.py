"""What the registry gate needs of the world besides `gates.interface.Decider`, as protocols."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from layerproof.model.digest import Digest
from layerproof.model.image import Descriptor


class Fetched(Protocol):
    """A manifest as the registry delivered it."""

    @property
    def data(self) -> bytes:
        """Its bytes."""

    @property
    def media_type(self) -> str:
        """As the registry says."""

    @property
    def digest(self) -> Digest:
        """Computed from the bytes."""


class Listing(Protocol):
    """A small document that is handed on: tags, repositories, referrers."""

    @property
    def data(self) -> bytes:
        """Its bytes."""

    @property
    def media_type(self) -> str:
        """As the registry says."""

    @property
    def link(self) -> str:
        """The header Link, for the next page."""


class Upstream(Protocol):
    """The registry behind the gateway. `authorization`: the header of the client, "" for none; an
    upstream with a login of its own takes no notice of it. Methods raise SourceError; of these
    AuthenticationError where the client should log in."""

    @property
    def host(self) -> str:
        """As references have it."""

    def identity(self, authorization: str) -> str:
        """Equal for clients that may read the same; no secret can be seen in it."""

    async def manifest(self, name: str, reference: str, authorization: str) -> Fetched:
        """By tag or digest; hashed, and of the digest that was asked for. Raises
        DigestMismatchError."""

    async def listing(self, name: str, path: str, authorization: str) -> Listing:
        """A document of a repository, or with a slash before it of the registry, bounded."""

    def blob(self, name: str, blob: Descriptor, authorization: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a blob, as many as the descriptor says; their digest is not verified."""

    async def small_blob(self, name: str, digest: Digest, authorization: str) -> bytes:
        """A blob of which only the digest is known: bounded, and verified."""

    async def may_read(self, name: str, authorization: str) -> None:
        """Raises AuthenticationError unless the client may read there."""

    async def challenge(self, name: str, authorization: str) -> str:
        """The WWW-Authenticate header for a client that should log in; "" for one that need not. It
        never names a realm to which passwords must not be sent: AuthenticationError."""


class Known(Protocol):
    """What the index knows, for a gateway that was started after a manifest was served."""

    async def holders(self, name: str, blob: Digest) -> Sequence[tuple[Digest, Descriptor | None]]:
        """Images of the repository that have the blob: manifest digest, and the blob's descriptor
        where it is known. Never fails."""
