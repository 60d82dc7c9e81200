"""What the Kubernetes gate needs of the world besides `gates.interface.Decider`, as protocols."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from layerproof.model.digest import Digest
from layerproof.model.reference import Reference


@dataclass(frozen=True, slots=True)
class Grant:
    """An image that break-glass let in: it may be started in its namespace until the end."""

    namespace: str
    image: str  # digest, or the text where that could not be resolved
    until: datetime
    by: str
    reason: str


class Tags(Protocol):
    """What tags name."""

    async def digest_of(self, reference: Reference) -> Digest:
        """The digest of the bytes that the registry delivers for the tag, computed by us. Raises
        SourceError and what else stands in the way."""


class Grants(Protocol):
    """What break-glass let in. Neither method fails: what cannot be written is kept in memory."""

    async def find(self, namespace: str, image: str) -> Grant | None:
        """The one that still holds."""

    async def add(self, grant: Grant, target: str) -> None:
        """Write it down, and that it was used for this object."""
