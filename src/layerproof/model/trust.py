"""Declarations of trust: an image that somebody vouches for, and its ChainIDs."""

from dataclasses import dataclass
from datetime import datetime

from layerproof.model.digest import ChainId, Digest


@dataclass(frozen=True, slots=True)
class TrustRecord:
    """Who trusted which image, when, why, until when; and whether that was taken back.

    Times are aware, UTC. Records are never deleted: a verdict says that a trust once was.
    """

    id: str  # stable, unique; shown to people and taken by `trust revoke`
    reference: str
    config_digest: Digest
    manifest_digest: Digest | None
    chain_ids: tuple[ChainId, ...]  # lowest first; the last is the top
    added_by: str
    added_at: datetime
    reason: str
    expires_at: datetime | None = None
    revoked_by: str = ""
    revoked_at: datetime | None = None
    revoke_reason: str = ""

    @property
    def top(self) -> ChainId:
        """The ChainID of the whole image."""
        return self.chain_ids[-1]

    def active(self, now: datetime) -> bool:
        """Whether the trust counts at `now`: added, not expired, not revoked."""
        return (
            self.added_at <= now
            and (self.expires_at is None or now < self.expires_at)
            and (self.revoked_at is None or now < self.revoked_at)
        )
